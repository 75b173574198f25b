package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// Services of these tests are processes, too: this test binary, started again with serviceEnv set to memsd's address and
// ttlEnv to the time-to-live.

const (
	serviceEnv = "MEMSD_TEST_SERVICE"
	ttlEnv     = "MEMSD_TEST_TTL"
	shortTTL   = time.Second
	longTTL    = time.Minute // where many processes share a slow machine, and none is to expire
)

// runService registers a game and tells what becomes of it, until standard input ends.
func runService(addr string) int {
	ctx := context.Background() // the test has the patience
	ttl, err := time.ParseDuration(os.Getenv(ttlEnv))
	if err != nil {
		fmt.Println("failed", err)
		return 1
	}
	c := discovery.Dial(ctx, addr, discovery.Options{TTL: ttl, Name: "test service"})
	defer c.Close()
	lease, err := c.Register(ctx, discovery.Service{Name: "game", Group: "dev", Index: -1, State: discovery.Ready})
	if err != nil {
		fmt.Println("failed", err)
		return 1
	}
	fmt.Println("registered", lease.Service().ID)
	go func() {
		if err := <-lease.Lost(); err != nil {
			fmt.Println("lost", err)
		}
	}()
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := lease.Close(ctx); err != nil {
		fmt.Println("failed", err)
		return 1
	}
	return 0
}

// service is a service as a process.
type service struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.Closer
	ended chan struct{}

	mu    sync.Mutex
	lines []string
	more  chan struct{} // closed when there is another line
}

func startService(t *testing.T, addr string, ttl time.Duration) *service {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := &service{t: t, cmd: exec.Command(self), ended: make(chan struct{}), more: make(chan struct{})}
	s.cmd.Env = append(os.Environ(), serviceEnv+"="+addr, ttlEnv+"="+ttl.String())
	s.cmd.Stderr = os.Stderr
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(s.ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			s.mu.Lock()
			s.lines = append(s.lines, lines.Text())
			close(s.more)
			s.more = make(chan struct{})
			s.mu.Unlock()
		}
		_ = s.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		<-s.ended
	})
	return s
}

// says waits for a line that begins with this, and returns the rest of it.
func (s *service) says(begin string) string {
	s.t.Helper()
	for ctx := within(s.t); ; {
		s.mu.Lock()
		more := s.more
		i := slices.IndexFunc(s.lines, func(l string) bool { return strings.HasPrefix(l, begin) })
		rest := ""
		if i >= 0 {
			rest = s.lines[i][len(begin):]
		}
		s.mu.Unlock()
		if i >= 0 {
			return rest
		}
		select {
		case <-more:
		case <-s.ended:
			s.t.Fatalf("a service ended without saying %q:\n%s", begin, s.text())
		case <-ctx.Done():
			s.t.Fatalf("a service does not say %q:\n%s", begin, s.text())
		}
	}
}

func (s *service) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.lines, "\n")
}

func (s *service) over() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

func (s *service) signal(sig os.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// stop lets the service say goodbye and end.
func (s *service) stop() {
	s.t.Helper()
	_ = s.stdin.Close()
	<-s.ended
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		s.t.Errorf("a service ended with exit code %d:\n%s", code, s.text())
	}
}

func shows(s *discovery.Snapshot, id string) bool { _, ok := s.Service(id); return ok }

// until waits for a state that ok accepts.
func until(t *testing.T, r discovery.Registry, what string, ok func(*discovery.Snapshot) bool) *discovery.Snapshot {
	t.Helper()
	ctx := within(t)
	s := r.Snapshot()
	for !ok(s) {
		next, err := r.Wait(ctx, s.Revision())
		if err != nil {
			t.Fatalf("waiting until %s: %v", what, err)
		}
		s = next
	}
	return s
}

// TestFiftyProcesses start at once and get the indexes 0 to 49, each one of its own. They are never in the data file.
func TestFiftyProcesses(t *testing.T) {
	const n = 50
	dir := t.TempDir()
	p := startMemsd(t, dir, "127.0.0.1:0")
	var all []*service
	for range n {
		all = append(all, startService(t, p.addr, longTTL))
	}
	got := make(map[string]bool)
	for _, s := range all {
		got[s.says("registered ")] = true
	}
	for i := range n {
		if id := discovery.FormatID("game", i, "dev"); !got[id] {
			t.Errorf("nobody is %s", id)
		}
	}
	// One in the middle leaves: the next gets its index.
	var left string
	all[n/2].stop()
	left = all[n/2].says("registered ")
	if id := startService(t, p.addr, longTTL).says("registered "); id != left {
		t.Errorf("after %s has left, the next process became %s", left, id)
	}
	if code, _, errs := ask(t, p.addr, "-cmd=setvalue", "k", "v"); code != 0 {
		t.Error(errs)
	}
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		p.kill() // Windows
	}
	<-p.ended
	for _, file := range []string{"persist.json", ".persist.json.journal"} {
		text, err := os.ReadFile(dir + "/" + file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "game") {
			t.Errorf("%s tells of services:\n%s", file, text)
		}
	}
}
