package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// Links come up whoever is there first, and both sides know who the other is.
func TestAnyOrder(t *testing.T) {
	order := map[string]func(*world) (agent, game *node){
		"who dials first": func(w *world) (*node, *node) {
			a := w.start("agent", setup{dials: []string{"game"}, silent: true})
			synctest.Wait()
			time.Sleep(time.Minute)
			return a, w.start("game", setup{})
		},
		"who is dialed first": func(w *world) (*node, *node) {
			g := w.start("game", setup{})
			synctest.Wait()
			return w.start("agent", setup{dials: []string{"game"}, silent: true}), g
		},
		"asked for later": func(w *world) (*node, *node) {
			a, g := w.start("agent", setup{silent: true}), w.start("game", setup{})
			time.Sleep(time.Minute)
			a.Dial("game")
			return a, g
		},
		"announced later": func(w *world) (*node, *node) {
			a, g := w.start("agent", setup{dials: []string{"game"}, silent: true}), w.start("game", setup{silent: true})
			time.Sleep(time.Minute)
			ctx, end := context.WithCancel(context.Background())
			w.t.Cleanup(end)
			g.listen(ctx, "")
			return a, g
		},
	}
	for name, start := range order {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				a, g := start(w)
				linked(t, a, g)
				if !slices.Equal(a.ups, []string{"game#0@dev"}) || !slices.Equal(g.ups, []string{"agent#0@dev"}) {
					t.Errorf("OnUp was told %q and %q", a.ups, g.ups)
				}
			})
		})
	}
}

// Every instance is dialed, the process itself is not; both sides of a pair may
// dial and keep one link that stands.
func TestEverybodyDialsEverybody(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var all []*node
		for i := range 5 {
			all = append(all, w.start("game", setup{index: i, dials: []string{"game"}}))
		}
		time.Sleep(10 * time.Second)
		for i, a := range all {
			for _, b := range all[i+1:] {
				linked(t, a, b)
			}
			if n := len(a.Named("game")); n != len(all)-1 {
				t.Errorf("%s has %d links, want %d", a.id(), n, len(all)-1)
			}
		}
		var before []int
		for _, n := range all {
			before = append(before, len(n.ups))
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		for i, n := range all {
			if len(n.ups) != before[i] {
				t.Errorf("%s: links came up %d times more in ten minutes of peace:\n%s", n.id(), len(n.ups)-before[i], n.log.String())
			}
			if warned := n.log.lines("level=WARN"); len(warned) > 0 {
				t.Errorf("%s warned: %s", n.id(), warned)
			}
		}
		// A link that is lost comes back, whoever had dialed it.
		all[1].Get("game#3@dev").Close(errors.New("for the test"))
		all[2].Get("game#0@dev").Close(errors.New("for the test"))
		time.Sleep(10 * time.Second)
		linked(t, all[1], all[3])
		linked(t, all[2], all[0])
	})
}

// Only what the rule allows is dialed.
func TestRuleFilters(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.start("agent", setup{dials: []string{"game", "social"}, rule: "game:blue|dev"})
		blue := w.start("game", setup{group: "blue"})
		dev := w.start("game", setup{group: "dev"})
		social := w.start("social", setup{group: "dev"})
		green := w.start("social", setup{group: "green"})
		time.Sleep(time.Minute)
		linked(t, a, blue)
		linked(t, a, social)
		notLinked(t, a, dev)
		notLinked(t, a, green)
	})
}

// Control messages arrive in order, with whom they concern; those that a newer
// peer may know and we do not are passed over.
func TestControlMessages(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var got []string
		w.start("hub", setup{wire: func(ls *Links) {
			Handle(ls, func(l *Link, client uint64, m *pb.HubSubscribe) error {
				got = append(got, fmt.Sprintf("%s %d %s", l.ID, client, m.Channel))
				return nil
			})
		}})
		g := w.start("game", setup{dials: []string{"hub"}})
		synctest.Wait()
		l := g.Get("hub#0@dev")
		var want []string
		for i := range 100 {
			if err := l.Send(uint64(i), &pb.HubSubscribe{Channel: fmt.Sprint("channel ", i)}); err != nil {
				t.Fatal(err)
			}
			if err := l.Send(0, &pb.NoticeREQ{Text: "what is that?"}); err != nil {
				t.Fatal(err)
			}
			want = append(want, fmt.Sprintf("game#0@dev %d channel %d", i, i))
		}
		synctest.Wait()
		if !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}
		if l.Ended() != nil {
			t.Errorf("the link has ended: %v", l.Ended())
		}
	})
}

func TestHandleTwicePanics(t *testing.T) {
	ls := New(Config{})
	h := func(*Link, uint64, *pb.NoticeREQ) error { return nil }
	Handle(ls, h)
	defer func() {
		if v := recover(); v == nil || !strings.Contains(fmt.Sprint(v), "Notice") {
			t.Errorf("panicked with %v", v)
		}
	}()
	Handle(ls, h)
}

// receiver remembers what it was given.
type receiver struct {
	got  []string
	fail error
	down error
}

func (r *receiver) Frame(f Frame) error {
	r.got = append(r.got, fmt.Sprintf("%d %d %d %s", f.Kind, f.ID, f.Client, f.Body))
	return r.fail
}
func (r *receiver) Batch()            { r.got = append(r.got, "batch") }
func (r *receiver) Down(reason error) { r.down = reason }

// Relayed messages go to the receiver for the peer's service, and Batch follows.
func TestReceiver(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var agents, others receiver
		g := w.start("game", setup{wire: func(ls *Links) {
			ls.Receive("agent", func(*Link) Receiver { return &agents })
			ls.Receive("", func(*Link) Receiver { return &others })
		}})
		a := w.start("agent", setup{dials: []string{"game"}})
		h := w.start("hub", setup{dials: []string{"game"}})
		linked(t, a, g)
		linked(t, h, g)
		l := a.Get("game#0@dev")
		if first, err := l.Append(ToClient, 7, 100, []byte("one")); !first || err != nil {
			t.Errorf("first Append: %v %v", first, err)
		}
		if first, err := l.Append(ToAll, 0, 101, []byte("two")); first || err != nil {
			t.Errorf("second Append: %v %v", first, err)
		}
		l.Flush()
		first, err := h.Get("game#0@dev").Append(ToMany, 0, 102, AppendList(nil, []uint64{1, 2}))
		if !first || err != nil {
			t.Error(first, err)
		}
		h.Get("game#0@dev").Flush()
		synctest.Wait()
		if want := []string{"1 100 7 one", "4 101 0 two", "batch"}; !slices.Equal(agents.got, want) {
			t.Errorf("the receiver for agents got %q, want %q", agents.got, want)
		}
		if len(others.got) != 2 || !strings.HasPrefix(others.got[0], "2 102 0 ") {
			t.Errorf("the receiver for others got %q", others.got)
		}
		a.stop()
		synctest.Wait()
		if agents.down == nil || others.down != nil {
			t.Errorf("Down: agents %v, others %v", agents.down, others.down)
		}
	})
}

// What ends a link ends that link, with a reason in the log, and the dialing
// side makes a new one.
func TestWhatEndsALink(t *testing.T) {
	boom := errors.New("no such client")
	cases := map[string]struct {
		wire  func(*Links)
		cause func(*Link)
		log   string
	}{
		"a receiver's error": {
			func(ls *Links) { ls.Receive("", func(*Link) Receiver { return &receiver{fail: boom} }) },
			func(l *Link) { l.Append(ToClient, 1, 2, nil) }, "no such client",
		},
		"no receiver": {
			func(*Links) {},
			func(l *Link) { l.Append(ToClient, 1, 2, nil) }, "nobody here takes clients' messages",
		},
		"a handler's error": {
			func(ls *Links) { Handle(ls, func(*Link, uint64, *pb.NoticeREQ) error { return boom }) },
			func(l *Link) { l.Append(Control, 0, pb.NoticeREQID, nil) }, "no such client",
		},
		"a handler's panic": {
			func(ls *Links) { Handle(ls, func(*Link, uint64, *pb.NoticeREQ) error { panic("index out of reach") }) },
			func(l *Link) { l.Append(Control, 0, pb.NoticeREQID, nil) }, "stack=",
		},
		"a body that does not parse": {
			func(ls *Links) { Handle(ls, func(*Link, uint64, *pb.NoticeREQ) error { return nil }) },
			func(l *Link) { l.Append(Control, 0, pb.NoticeREQID, []byte{0xff}) }, "decode NoticeREQ",
		},
		"a frame that does not parse": {
			func(*Links) {},
			func(l *Link) { l.session.Append([]byte{77}, nil) }, "malformed frame",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				g := w.start("game", setup{wire: c.wire})
				a := w.start("agent", setup{dials: []string{"game"}})
				linked(t, a, g)
				old := a.Get("game#0@dev")
				c.cause(old)
				old.Flush()
				synctest.Wait()
				if old.Ended() == nil {
					t.Fatal("the link stands")
				}
				if len(g.log.lines(c.log)) != 1 {
					t.Errorf("%q is not once in the log:\n%s", c.log, g.log.String())
				}
				time.Sleep(time.Second)
				linked(t, a, g)
			})
		})
	}
}

// Whoever takes Changed before it looks misses nothing.
func TestChangedMissesNothing(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.start("agent", setup{dials: []string{"game"}})
		seen := make(chan int)
		wait := func(want int) {
			for {
				changed := a.Changed()
				if n := len(a.Named("game")); n == want {
					seen <- n
					return
				}
				<-changed
			}
		}
		var games []*node
		for i := range 10 {
			go wait(i + 1)
			games = append(games, w.start("game", setup{index: i}))
			<-seen
		}
		for i, g := range games {
			go wait(len(games) - i - 1)
			g.stop()
			<-seen
		}
	})
}

// A process that stops closes its links in order: what was appended arrives
// before the end.
func TestStopFlushes(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var got receiver
		g := w.start("game", setup{wire: func(ls *Links) { ls.Receive("agent", func(*Link) Receiver { return &got }) }})
		a := w.start("agent", setup{dials: []string{"game"}})
		linked(t, a, g)
		a.Get("game#0@dev").Append(ToClient, 1, 2, []byte("last words"))
		a.stop()
		synctest.Wait()
		if len(got.got) == 0 || got.got[0] != "1 2 1 last words" {
			t.Errorf("got %q", got.got)
		}
		if len(a.All()) != 0 {
			t.Errorf("%d links are left", len(a.All()))
		}
		if len(g.log.lines("link ended", "closed by the peer")) != 1 {
			t.Errorf("the peer's log:\n%s", g.log.String())
		}
		if len(a.log.lines("link ended", ErrStopping.Error())) != 1 {
			t.Errorf("the log:\n%s", a.log.String())
		}
	})
}

// Over real sockets, with the default dialer.
func TestRealSockets(t *testing.T) {
	defer goleak.VerifyNone(t)
	memory := discovery.NewMemory()
	got := make(chan string, 1)
	make := func(name string) (*Links, discovery.Registry, discovery.Lease) {
		reg := memory.Open()
		t.Cleanup(func() { reg.Close() })
		lease, err := reg.Register(t.Context(), discovery.Service{Name: name, Group: "dev", State: discovery.Ready})
		if err != nil {
			t.Fatal(err)
		}
		rule, _ := ParseRule("", "dev")
		return New(Config{Self: lease.Service, Registry: reg, Rule: rule, Secret: "s3cret", Log: slog.New(slog.DiscardHandler)}), reg, lease
	}
	game, _, lease := make("game")
	Handle(game, func(l *Link, _ uint64, m *pb.NoticeREQ) error {
		got <- l.ID + ": " + m.Text
		return nil
	})
	agent, _, _ := make("agent")
	agent.Dial("game")
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	all.Go(func() {
		if err := game.Serve(ctx, l); err != nil {
			t.Error(err)
		}
	})
	all.Go(func() { game.Run(ctx) })
	all.Go(func() { agent.Run(ctx) })
	if err := lease.Update(t.Context(), func(s *discovery.Service) { s.Addr = l.Addr().String() }); err != nil {
		t.Fatal(err)
	}
	for {
		changed := agent.Changed()
		if l := agent.Get("game#0@dev"); l != nil {
			if err := l.Send(0, &pb.NoticeREQ{Text: "hello"}); err != nil {
				t.Fatal(err)
			}
			break
		}
		<-changed
	}
	if g := <-got; g != "agent#0@dev: hello" {
		t.Errorf("got %q", g)
	}
	cancel()
	all.Wait()
}

func TestInWords(t *testing.T) {
	if err := inWords(fmt.Errorf("read: %w", io.EOF)); err != errClosedByPeer {
		t.Error(err)
	}
	if err := inWords(ErrSilent); err != ErrSilent {
		t.Error(err)
	}
}
