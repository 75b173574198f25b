package main

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/hub/hubapi"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// The tests of this package run hub and memsd as processes of their own.

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = time.Minute

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// build makes programs and returns the folder they are in.
func build(t *testing.T, programs ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range programs {
		cmd := exec.Command("go", "build", "-o", filepath.Join(dir, name+".exe"), "github.com/davyxu/cellmesh_demo/svc/"+name)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go build: %v\n%s", err, out)
		}
	}
	return dir
}

// start runs a program until kill, or the end of the test, and returns what
// follows a word on its standard error.
func start(t *testing.T, word, program string, args ...string) (found string, kill func()) {
	t.Helper()
	cmd := exec.Command(program, append(args, "-flagfile=", "-httpaddr=")...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "CELLMESH_") })
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	is, ended := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(ended)
		told := false
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			if _, rest, ok := strings.Cut(lines.Text(), word); ok && !told {
				told = true
				is <- strings.Fields(rest + " .")[0]
			}
		}
		cmd.Wait()
	}()
	kill = func() {
		cmd.Process.Kill()
		<-ended
	}
	t.Cleanup(kill)
	select {
	case found = <-is:
	case <-ended:
		t.Fatalf("%s has ended", program)
	case <-time.After(patience):
		t.Fatalf("%s is not ready", program)
	}
	return found, kill
}

// member is a process of the cluster, as far as hub can tell.
type member struct {
	hub   *hubapi.Hub
	links *link.Links

	mu  sync.Mutex
	got []string
}

func join(t *testing.T, sdaddr string, index int) *member {
	t.Helper()
	reg := discovery.Dial(t.Context(), sdaddr, discovery.Options{Name: "member"})
	self := discovery.Service{ID: discovery.FormatID("member", index, "dev"), Name: "member", Index: index, Group: "dev", Epoch: uint64(time.Now().UnixNano())}
	rule, err := link.ParseRule("", "dev")
	if err != nil {
		t.Fatal(err)
	}
	m := &member{}
	m.links = link.New(link.Config{Self: func() discovery.Service { return self }, Registry: reg, Rule: rule, Log: slog.New(slog.DiscardHandler)})
	engine, run := hubapi.OverLinks(m.links)
	m.hub = hubapi.New(engine, self, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() { run(ctx) })
	all.Go(func() { m.links.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		all.Wait()
		m.hub.Close()
		reg.Close()
	})
	return m
}

func (m *member) subscribe(pattern string) {
	note := func(format string, args ...any) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.got = append(m.got, fmt.Sprintf(format, args...))
	}
	hubapi.Listen(m.hub, pattern, func(at hubapi.Delivery, l *pb.ChatACK) { note("%s %s", at.Channel, l.Content) },
		hubapi.Missed(func(n uint64) { note("missed %d", n) }))
}

func (m *member) all() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.got)
}

func (m *member) flush(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := m.hub.Flush(ctx); err != nil {
		t.Fatal(err)
	}
}

// A hub that is killed and started again has all subscriptions back by itself:
// what is published then arrives, once and in order, and subscribers know that
// something may be missing before it.
func TestKilledAndRestarted(t *testing.T) {
	dir := build(t, "hub", "memsd")
	addr, _ := start(t, " ready addr=", filepath.Join(dir, "memsd.exe"), "-addr=127.0.0.1:0", "-datafile="+filepath.Join(dir, "persist.json"))
	index := 0
	hub := func() (kill func()) { // each under a name of its own: memsd keeps that of a killed process for 3 s
		_, kill = start(t, " ready ", filepath.Join(dir, "hub.exe"), "-sdaddr="+addr, fmt.Sprint("-svcindex=", index))
		index++
		return kill
	}
	kill := hub()
	sub, pub := join(t, addr, 0), join(t, addr, 1)
	sub.subscribe("room.*")
	sub.flush(t)
	var want []string
	some := func(round int) {
		t.Helper()
		for i := range 100 {
			text := fmt.Sprint(round, "-", i)
			if err := pub.hub.Publish(t.Context(), "room.1", &pb.ChatACK{Content: text}); err != nil {
				t.Fatal(err)
			}
			want = append(want, "room.1 "+text)
		}
		eventually(t, "all have arrived", func() bool { return len(sub.all()) >= len(want) })
	}
	some(0)
	for round := range 3 {
		kill()
		eventually(t, "the link is gone", func() bool { return len(sub.links.Named("hub"))+len(pub.links.Named("hub")) == 0 })
		want = append(want, "missed 0")
		kill = hub()
		sub.flush(t) // both are back
		pub.flush(t)
		some(1 + round)
	}
	if got := sub.all(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
