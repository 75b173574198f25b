package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/davyxu/cellmesh_demo/svc/memsd/server"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs a memsd and returns its address.
func start(t *testing.T, secret string) string {
	t.Helper()
	s, err := server.New(server.Options{File: filepath.Join(t.TempDir(), "persist.json"), Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := s.Serve(ctx, l); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		serving.Wait()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// say runs a command line and returns what it prints.
func say(t *testing.T, o Options, line ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	o.Out = &out
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := Run(ctx, o, line[0], line[1:])
	return out.String(), err
}

func TestForPeople(t *testing.T) {
	addr := start(t, "")
	c := discovery.Dial(context.Background(), addr, discovery.Options{})
	defer c.Close()
	want := func(text string, line ...string) {
		t.Helper()
		got, err := say(t, Options{Addr: addr}, line...)
		if err != nil || got != text {
			t.Errorf("%s prints\n%s%v\nwant\n%s", strings.Join(line, " "), got, err, text)
		}
	}
	want("no services\n", "viewsvc")
	want("no keys\n", "viewkey")
	want("config/a is set, 5 bytes (revision 2)\n", "setvalue", "config/a", "hello")
	want("config/a had this value already (revision 2)\n", "setvalue", "config/a", "hello")
	want("config/b is set, 8 bytes (revision 3)\n", "setvalue", "config/b", "{\n  1\n}\n")
	want("other is set, 100 bytes (revision 4)\n", "setvalue", "other", "\x1b"+strings.Repeat("é", 49)+"x")
	want("hello\n", "getvalue", "config/a")
	want("KEY       BYTES  VALUE\nconfig/a  5      hello\nconfig/b  8      { 1 }\n", "viewkey", "config/")
	want("no keys that begin with \"x\"\n", "viewkey", "x")
	if got, err := say(t, Options{Addr: addr}, "viewkey", "other"); err != nil || strings.ContainsRune(got, '\x1b') {
		t.Errorf("a value can talk to the terminal: %q, %v", got, err)
	}
	lease, err := c.Register(context.Background(), discovery.Service{Name: "game", Group: "dev", Index: -1, Addr: "127.0.0.1:1", State: discovery.Ready,
		Meta: map[string]string{"waits": "for agent", "pid": "7"}})
	if err != nil {
		t.Fatal(err)
	}
	want("SERVICE     STATE  ADDRESS      EPOCH  META\ngame#0@dev  ready  127.0.0.1:1  5      pid=7 waits=\"for agent\"\n", "viewsvc")
	want("config/a is deleted (revision 6)\n", "deletevalue", "config/a")
	want("config/a was not set (revision 6)\n", "deletevalue", "config/a")
	want("1 keys are deleted (revision 7)\n", "clearvalue", "config/")
	want("there was no such key (revision 7)\n", "clearvalue", "config/")
	want("1 keys are deleted (revision 8)\n", "clearvalue")
	want("1 services are forgotten; those that live register again at once\n", "clearsvc")
	if err := lease.Close(context.Background()); err != nil {
		t.Error(err)
	}
	status, err := say(t, Options{Addr: addr}, "status")
	for _, want := range []string{"address     " + addr, "services    ", "persist.json", "up for", "revision", "last write", "failing     no"} {
		if err != nil || !strings.Contains(status, want) {
			t.Errorf("status has no %q:\n%s%v", want, status, err)
		}
	}
}

func TestForScripts(t *testing.T) {
	addr := start(t, "")
	c := discovery.Dial(context.Background(), addr, discovery.Options{})
	defer c.Close()
	if _, err := c.Register(context.Background(), discovery.Service{Name: "game", Group: "dev", Index: -1, State: discovery.Ready}); err != nil {
		t.Fatal(err)
	}
	get := func(into any, line ...string) {
		t.Helper()
		got, err := say(t, Options{Addr: addr, JSON: true}, line...)
		if err != nil {
			t.Fatalf("%v: %v", line, err)
		}
		if err := json.Unmarshal([]byte(got), into); err != nil {
			t.Fatalf("%v prints %s: %v", line, got, err)
		}
	}
	var changed struct {
		Revision uint64
		Changed  bool
	}
	if get(&changed, "setvalue", "k", "<v>"); !changed.Changed || changed.Revision == 0 {
		t.Errorf("setvalue: %+v", changed)
	}
	if get(&changed, "setvalue", "k", "<v>"); changed.Changed {
		t.Errorf("setvalue again: %+v", changed)
	}
	var kv keyValue
	if get(&kv, "getvalue", "k"); kv != (keyValue{"k", "<v>"}) {
		t.Errorf("getvalue: %+v", kv)
	}
	var list []keyValue
	if get(&list, "viewkey"); len(list) != 1 || list[0] != kv {
		t.Errorf("viewkey: %+v", list)
	}
	if get(&list, "viewkey", "none"); list == nil || len(list) != 0 {
		t.Errorf("viewkey without keys: %+v; want [], not null", list)
	}
	var services []discovery.Service
	if get(&services, "viewsvc"); len(services) != 1 || services[0].ID != "game#0@dev" || services[0].Index != 0 || services[0].Epoch == 0 {
		t.Errorf("viewsvc: %+v", services)
	}
	status := make(map[string]any)
	if get(&status, "status"); status["services"] != 1.0 || status["keys"] != 1.0 || status["file"] == "" {
		t.Errorf("status: %v", status)
	}
	forgotten := make(map[string]int)
	if get(&forgotten, "clearsvc"); forgotten["forgotten"] != 1 {
		t.Errorf("clearsvc: %v", forgotten)
	}
	if get(&changed, "clearvalue"); !changed.Changed {
		t.Errorf("clearvalue: %+v", changed)
	}
	if get(&changed, "deletevalue", "k"); changed.Changed {
		t.Errorf("deletevalue: %+v", changed)
	}
}

func TestErrors(t *testing.T) {
	addr := start(t, "secret")
	const nobody = "127.0.0.1:1" // no port that the system gives to anybody
	for _, c := range []struct {
		o    Options
		line string
		want string
	}{
		{Options{Addr: addr, Secret: "secret"}, "getvalue k", `key "k" is not set`},
		{Options{Addr: addr, Secret: "secret"}, "getvalue", "memsd -cmd=getvalue key"},
		{Options{Addr: addr, Secret: "secret"}, "getvalue a b", "memsd -cmd=getvalue key"},
		{Options{Addr: addr, Secret: "secret"}, "dance", `no command "dance"`},
		{Options{Addr: addr, Secret: "wrong"}, "status", "does not know memsd's cluster secret"},
		{Options{Addr: addr}, "viewsvc", "start this process with -secret"},
		{Options{Addr: nobody}, "viewsvc", "is memsd running there?"},
	} {
		out, err := say(t, c.o, strings.Fields(c.line)...)
		if err == nil || !strings.Contains(err.Error(), c.want) || out != "" {
			t.Errorf("%s: %v; want %q", c.line, err, c.want)
		}
	}
	if _, err := say(t, Options{Addr: addr}, "dance"); !errors.Is(err, ErrUsage) {
		t.Errorf("%v; want ErrUsage", err)
	}
}

// TestWatch: JSON lines, until it is stopped.
func TestWatch(t *testing.T) {
	addr := start(t, "")
	c := discovery.Dial(context.Background(), addr, discovery.Options{})
	defer c.Close()
	ctx, cancel := context.WithCancel(context.Background())
	out := &lines{want: 3, full: cancel}
	done := make(chan error, 1)
	go func() { done <- Run(ctx, Options{Addr: addr, JSON: true, Out: out}, "watch", []string{"game"}) }()
	for { // until it watches
		st, err := c.Status(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if st.Watchers == 2 {
			break
		}
	}
	var lease discovery.Lease
	for ctx.Err() == nil { // it may have begun to watch only after the first of these
		var err error
		if lease, err = c.Register(context.Background(), discovery.Service{Name: "game", Group: "dev", Index: 0, State: discovery.Ready}); err != nil {
			t.Fatal(err)
		}
		if err := lease.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		if err := discovery.Set(context.Background(), c, "unrelated", "x"); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.text()) {
		var ch change
		if err := json.Unmarshal([]byte(line), &ch); err != nil || ch.Service == nil || ch.Service.ID != "game#0@dev" || ch.Revision == 0 || ch.Time.IsZero() {
			t.Errorf("watch prints %s: %v", line, err)
		}
	}
}

// lines collects output and tells when there is enough.
type lines struct {
	mu   sync.Mutex
	b    bytes.Buffer
	n    int
	want int
	full func()
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n += bytes.Count(p, []byte{'\n'}); l.n >= l.want {
		l.full()
	}
	return l.b.Write(p)
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
