package broker

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/hub/hubapi"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const timeout = time.Minute

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(timeout); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", timeout, what)
		}
	}
}

// process is a running service with its own sockets; discovery is shared.
type process struct {
	t     *testing.T
	app   *basefx.App
	stop  context.CancelFunc
	ready chan struct{}
	done  chan struct{}
	err   error
	log   logBuffer
}

// service is a program that only starts.
type service func(*basefx.App)

func (s service) Start(_ context.Context, app *basefx.App) error {
	s(app)
	return nil
}

func launch(t *testing.T, memory *discovery.Memory, name string, start service) *process {
	return launchAs(t, memory, name, func(*flag.FlagSet) basefx.Service { return start })
}

func launchAs(t *testing.T, memory *discovery.Memory, name string, new func(*flag.FlagSet) basefx.Service, args ...string) *process {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	p := &process{t: t, stop: stop, ready: make(chan struct{}), done: make(chan struct{})}
	reg := memory.Open()
	go func() {
		defer close(p.done)
		defer reg.Close()
		p.err = basefx.Run(ctx, name, new, basefx.Options{
			Args: append([]string{"-flagfile=", "-loglevel=debug"}, args...), Stdout: &p.log, Stderr: &p.log, Registry: reg,
			Ready: func(a *basefx.App) { p.app = a; close(p.ready) },
		})
	}()
	t.Cleanup(p.end)
	select {
	case <-p.ready:
	case <-p.done:
		t.Fatalf("%s ended: %v", name, p.err)
	}
	return p
}

func (p *process) end() {
	p.t.Helper()
	p.stop()
	<-p.done
	if p.err != nil {
		p.t.Error(p.err)
	}
	if p.t.Failed() {
		p.t.Logf("log:\n%s", p.log.String())
	}
}

func launchHub(t *testing.T, memory *discovery.Memory, args ...string) (*Broker, *process) {
	t.Helper()
	var b *Broker
	p := launchAs(t, memory, "hub", func(fs *flag.FlagSet) basefx.Service {
		b = New(fs).(*Broker)
		return b
	}, args...)
	return b, p
}

// member is a process that is joined to the hubs.
type member struct {
	*process
	hub *hubapi.Hub

	mu  sync.Mutex
	got []string
}

func join(t *testing.T, memory *discovery.Memory, channels ...string) *member {
	t.Helper()
	m := &member{}
	m.process = launch(t, memory, "member", func(app *basefx.App) {
		m.hub = hubapi.Join(app)
		for _, c := range channels {
			m.subscribe(c)
		}
	})
	return m
}

func (m *member) subscribe(channel string) {
	hubapi.Subscribe(m.hub, channel, func(from string, n *pb.NoticeREQ) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.got = append(m.got, channel+" "+from+": "+n.Text)
	})
}

func (m *member) publish(channel, text string) {
	m.t.Helper()
	if err := m.hub.Publish(m.t.Context(), channel, &pb.NoticeREQ{Text: text}); err != nil {
		m.t.Fatal(err)
	}
}

func (m *member) all() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.got)
}

func (m *member) has(want string) bool { return slices.Contains(m.all(), want) }

// subscribed waits until so many subscriptions have reached the hub.
func subscribed(t *testing.T, b *Broker, channel string, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d subscribers of %s", n, channel), func() bool {
		return len(b.subs.Match(channel)) == n
	})
}

// A message goes to those who subscribe to its channel, the publisher too, in
// the order in which it was published, from whom the hub says.
func TestPublish(t *testing.T) {
	memory := discovery.NewMemory()
	b, _ := launchHub(t, memory)
	alice := join(t, memory, "news", "weather")
	bob := join(t, memory, "news")
	carol := join(t, memory)
	subscribed(t, b, "news", 2)
	subscribed(t, b, "weather", 1)
	var want []string
	for i := range 500 {
		alice.publish("news", fmt.Sprint(i))
		want = append(want, fmt.Sprint("news member#0@dev: ", i))
	}
	alice.publish("weather", "rain")
	bob.publish("nobody.listens", "x")
	eventually(t, "bob has all", func() bool { return len(bob.all()) == len(want) })
	eventually(t, "alice has all", func() bool { return alice.has("weather member#0@dev: rain") })
	if got := bob.all(); !slices.Equal(got, want) {
		t.Errorf("bob got %q", got)
	}
	eventually(t, "alice has the news", func() bool { return len(alice.all()) == len(want)+1 })
	// The order is that of each channel.
	if got := slices.DeleteFunc(alice.all(), func(s string) bool { return strings.HasPrefix(s, "weather") }); !slices.Equal(got, want) {
		t.Errorf("alice got %q", got)
	}
	if got := carol.all(); len(got) != 0 {
		t.Errorf("carol got %q", got)
	}
	// One who comes late gets what comes later; one who leaves is forgotten.
	carol.subscribe("news")
	subscribed(t, b, "news", 3)
	bob.end()
	subscribed(t, b, "news", 2)
	alice.publish("news", "late")
	eventually(t, "carol hears", func() bool { return carol.has("news member#0@dev: late") })
	if len(carol.all()) != 1 {
		t.Errorf("carol got %q", carol.all())
	}
	eventually(t, "counted", func() bool { return b.delivered.Load() == 2*500+1+2 })
	if n := b.published.Load(); n != 500+3 {
		t.Errorf("%d published", n)
	}
}

// What is published before there is a hub waits for it; subscriptions are made
// anew at every hub that comes.
func TestHubComesLateAndRestarts(t *testing.T) {
	memory := discovery.NewMemory()
	m := join(t, memory, "news")
	for i := range 10 {
		m.publish("news", fmt.Sprint(i))
	}
	_, hub := launchHub(t, memory)
	eventually(t, "the backlog", func() bool { return len(m.all()) == 10 })
	for i, got := range m.all() {
		if want := fmt.Sprint("news member#0@dev: ", i); got != want {
			t.Errorf("message %d is %q", i, got)
		}
	}
	hub.end()
	eventually(t, "the link is gone", func() bool { return m.app.Links.Get("hub#0@dev") == nil })
	m.publish("news", "while away")
	b, _ := launchHub(t, memory)
	subscribed(t, b, "news", 1)
	m.publish("news", "again")
	eventually(t, "again", func() bool { return m.has("news member#0@dev: again") })
	if got := m.all(); len(got) != 12 || got[10] != "news member#0@dev: while away" {
		t.Errorf("got %q", got)
	}
}

// With two hubs each message arrives once, in order, also while one of them
// comes and goes that the publisher does not use.
func TestTwoHubs(t *testing.T) {
	memory := discovery.NewMemory()
	b0, _ := launchHub(t, memory)
	sub := join(t, memory, "news")
	pub := join(t, memory)
	subscribed(t, b0, "news", 1)
	eventually(t, "the publisher is linked", func() bool { return pub.app.Links.Get("hub#0@dev") != nil })
	n := 0
	some := func() {
		for range 100 {
			pub.publish("news", fmt.Sprint(n))
			n++
		}
	}
	some()
	b1, hub1 := launchHub(t, memory)
	some()
	subscribed(t, b1, "news", 1)
	some()
	hub1.end()
	some()
	eventually(t, "all have arrived", func() bool { return sub.has(fmt.Sprint("news member#1@dev: ", n-1)) })
	got := sub.all()
	if len(got) != n {
		t.Errorf("%d messages arrived, want %d", len(got), n)
	}
	for i, g := range got {
		if want := fmt.Sprint("news member#1@dev: ", i); g != want {
			t.Fatalf("message %d is %q", i, g)
		}
	}
	if b1.published.Load() != 0 {
		t.Errorf("%d messages went through the other hub", b1.published.Load())
	}
}

// When the hub that is published through goes away, the other takes over.
func TestHubTakesOver(t *testing.T) {
	memory := discovery.NewMemory()
	b0, hub0 := launchHub(t, memory)
	b1, _ := launchHub(t, memory)
	m := join(t, memory, "news")
	subscribed(t, b0, "news", 1)
	subscribed(t, b1, "news", 1)
	hub0.end()
	eventually(t, "the link is gone", func() bool { return m.app.Links.Get("hub#0@dev") == nil })
	m.publish("news", "on")
	eventually(t, "on", func() bool { return m.has("news member#0@dev: on") })
	if len(m.all()) != 1 {
		t.Errorf("got %q", m.all())
	}
	eventually(t, "counted", func() bool { return b1.delivered.Load() == 1 }) // which is after the delivery
}

// A subscriber's handler that panics, and a message of a type it does not want,
// harm nothing.
func TestHandlerPanics(t *testing.T) {
	memory := discovery.NewMemory()
	b, _ := launchHub(t, memory)
	m := join(t, memory)
	hubapi.Subscribe(m.hub, "news", func(_ string, n *pb.NoticeREQ) {
		if n.Text == "boom" {
			panic("no such player")
		}
	})
	m.subscribe("news")
	subscribed(t, b, "news", 1)
	link := m.app.Links.Get("hub#0@dev")
	m.publish("news", "boom")
	if err := m.hub.Publish(m.t.Context(), "news", &pb.ChatACK{Content: "not for you"}); err != nil {
		t.Fatal(err)
	}
	m.publish("news", "after")
	eventually(t, "after", func() bool { return m.has("news member#0@dev: after") })
	if got := m.all(); len(got) != 2 || m.app.Links.Get("hub#0@dev") != link {
		t.Errorf("got %q", got)
	}
	// The two subscriptions are not in step.
	eventually(t, "the log tells of the panic, and where it was", func() bool {
		log := m.log.String()
		return strings.Contains(log, "no such player") && strings.Contains(log, "broker_test.go")
	})
}

// watch launches a process that watches how all others are doing.
func watch(t *testing.T, memory *discovery.Memory) (watcher *hubapi.Hub) {
	t.Helper()
	launch(t, memory, "watcher", func(app *basefx.App) {
		watcher = hubapi.Join(app)
		watcher.WatchStatus()
	})
	return watcher
}

// Every service tells how it is doing, and everybody who watches knows.
func TestStatus(t *testing.T) {
	memory := discovery.NewMemory()
	launchHub(t, memory)
	watcher := watch(t, memory)
	game := launch(t, memory, "game", func(app *basefx.App) {
		hubapi.Join(app).ReportStatus(func() *pb.ServiceStatus { return &pb.ServiceStatus{Players: 42} })
	})
	eventually(t, "the game's status", func() bool { _, ok := watcher.Status("game#0@dev"); return ok })
	s, _ := watcher.Status("game#0@dev")
	if self := game.app.Self(); s.Players != 42 || s.Svcid != self.ID || s.Epoch != self.Epoch || s.Age() > timeout || s.Age() < 0 {
		t.Errorf("status %+v", s)
	}
	if _, ok := watcher.Status("game#1@dev"); ok {
		t.Error("a game that is not there has a status")
	}
}

// slowly is a service that takes its time to drain.
type slowly struct {
	service
	over chan struct{}
}

func (s slowly) Drain(ctx context.Context) error {
	select {
	case <-s.over:
	case <-ctx.Done():
	}
	return nil
}

// A service that drains says so, until it has.
func TestDraining(t *testing.T) {
	memory := discovery.NewMemory()
	launchHub(t, memory)
	watcher := watch(t, memory)
	over := make(chan struct{})
	game := launchAs(t, memory, "game", func(*flag.FlagSet) basefx.Service {
		return slowly{func(app *basefx.App) {
			hubapi.Join(app).ReportStatus(func() *pb.ServiceStatus { return &pb.ServiceStatus{} })
		}, over}
	})
	eventually(t, "the game's status", func() bool { s, ok := watcher.Status("game#0@dev"); return ok && !s.Draining })
	game.stop()
	eventually(t, "the game drains", func() bool { s, _ := watcher.Status("game#0@dev"); return s.Draining })
	close(over)
}

type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
