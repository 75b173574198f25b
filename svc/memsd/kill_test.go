package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// The tests of this package run memsd as a process of its own. TestMain builds it.

func TestMain(m *testing.M) {
	if addr := os.Getenv(serviceEnv); addr != "" {
		os.Exit(runService(addr))
	}
	os.Exit(run(m))
}

const binEnv = "MEMSD_TEST_BINARY"

func run(m *testing.M) int {
	for _, kv := range os.Environ() { // whoever runs the tests may have set flags for daily work
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "CELLMESH_") {
			_ = os.Unsetenv(name)
		}
	}
	dir, err := os.MkdirTemp("", "memsd-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	bin := filepath.Join(dir, "memsd.exe")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	_ = os.Setenv(binEnv, bin)
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// process is a running memsd.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	addr  string
	ended chan struct{} // closed when it has ended
	err   error         // how; read it after ended

	mu  sync.Mutex
	log bytes.Buffer
}

// startMemsd starts a memsd in dir and waits until it is ready. wrap, if given, is a command that runs it.
func startMemsd(t *testing.T, dir, addr string, wrap ...string) *process {
	t.Helper()
	return startMemsdWith(t, dir, addr, wrap)
}

func startMemsdWith(t *testing.T, dir, addr string, wrap []string, flags ...string) *process {
	t.Helper()
	args := append(wrap, os.Getenv(binEnv), "-addr="+addr, "-datafile=persist.json", "-flagfile=", "-httpaddr=")
	args = append(args, flags...)
	p := &process{t: t, cmd: exec.Command(args[0], args[1:]...), ended: make(chan struct{})}
	p.cmd.Dir = dir
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan string, 1)
	go func() {
		defer close(p.ended)
		for lines := bufio.NewReader(stderr); ; {
			line, err := lines.ReadString('\n')
			p.mu.Lock()
			p.log.WriteString(line)
			p.mu.Unlock()
			if _, rest, ok := strings.Cut(line, " ready addr="); ok {
				ready <- strings.Fields(rest)[0]
			}
			if err != nil {
				break
			}
		}
		p.err = p.cmd.Wait()
	}()
	t.Cleanup(p.kill)
	select {
	case p.addr = <-ready:
	case <-p.ended:
		t.Fatalf("memsd did not start: %v\n%s", p.err, p.text())
	case <-time.After(time.Minute):
		t.Fatalf("memsd is not ready\n%s", p.text())
	}
	return p
}

func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// kill is kill -9.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// ask runs memsd -cmd=...; its exit code, and what it says.
func ask(t *testing.T, addr string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := exec.Command(os.Getenv(binEnv), append([]string{"-sdaddr=" + addr, "-flagfile="}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// writer writes ever higher numbers under two keys of its own, always both in one batch.
type writer struct {
	name         string
	tried, acked int
}

func (w *writer) run(ctx context.Context, r discovery.Registry) error {
	for ctx.Err() == nil {
		w.tried++
		n := strconv.Itoa(w.tried)
		_, err := r.Apply(ctx, discovery.SetOp(w.name+"/a", n), discovery.SetOp(w.name+"/b", n), discovery.DeleteOp(w.name+"/c"))
		if err != nil {
			return nil // it was killed; nothing was acknowledged
		}
		w.acked = w.tried
		if w.tried%3 == 0 {
			if _, err := r.Apply(ctx, discovery.SetOp(w.name+"/c", n)); err != nil {
				return nil
			}
		}
	}
	return nil
}

func (w *writer) check(s *discovery.Snapshot) error {
	a, _ := s.Value(w.name + "/a")
	b, _ := s.Value(w.name + "/b")
	n, _ := strconv.Atoi(a)
	if a != b || n < w.acked || n > w.tried {
		return fmt.Errorf("%s has a=%q b=%q; %d was acknowledged and %d tried", w.name, a, b, w.acked, w.tried)
	}
	return nil
}

// ownAddr is an address that one memsd after the other can have: its port is none of those that the system gives to
// whoever asks for any, or connects.
func ownAddr(t *testing.T) string {
	t.Helper()
	for range 100 {
		if l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", 10_000+rand.IntN(20_000))); err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no port is free")
	return ""
}

// TestKill9 kills memsd in the middle of writing, hundreds of times, and looks each time whether what was acknowledged is
// there. A service stays through all of it.
func TestKill9(t *testing.T) {
	const rounds, writers = 200, 4
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	addr := ownAddr(t)
	var all [writers]writer
	for i := range all {
		all[i].name = fmt.Sprint("w", i)
	}
	var survivor *discovery.Client
	var lease discovery.Lease
	acked, revision := 0, uint64(0)
	for round := range rounds {
		p := startMemsd(t, dir, addr)
		c := discovery.Dial(context.Background(), addr, discovery.Options{})
		s, err := c.Wait(within(t), 0)
		if err != nil {
			t.Fatal(err)
		}
		for i := range all {
			if err := all[i].check(s); err != nil {
				t.Fatalf("round %d: %v\n%s", round, err, p.text())
			}
		}
		if s.Revision() < revision {
			t.Fatalf("round %d: revision went from %d to %d", round, revision, s.Revision())
		}
		if survivor == nil {
			survivor = discovery.Dial(context.Background(), addr, discovery.Options{Name: "survivor"})
			defer survivor.Close()
			if lease, err = survivor.Register(within(t), discovery.Service{Name: "game", Group: "dev", Index: -1, State: discovery.Ready}); err != nil {
				t.Fatal(err)
			}
		}
		var wg sync.WaitGroup
		for i := range all {
			wg.Go(func() { _ = all[i].run(within(t), c) })
		}
		pause := time.Duration(r.IntN(40)) * time.Millisecond
		if round%20 == 0 {
			pause = 400*time.Millisecond + 10*pause // long enough that the journal is compacted meanwhile
		}
		time.Sleep(pause)
		p.kill()
		revision = max(revision, c.Snapshot().Revision())
		_ = c.Close()
		wg.Wait()
	}
	for i := range all {
		acked += all[i].acked
	}
	t.Logf("%d acknowledged batches survived %d kills", acked, rounds)
	if acked < rounds {
		t.Errorf("only %d batches were acknowledged: this test does not test much", acked)
	}
	p := startMemsd(t, dir, addr)
	before := lease.Service()
	for s := survivor.Snapshot(); ; {
		if svc, ok := s.Service(before.ID); !ok || !svc.Equal(before) {
			t.Fatalf("the survivor's service is %+v now", svc)
		}
		if survivor.Connected() == nil {
			break
		}
		next, err := survivor.Wait(within(t), s.Revision())
		if err != nil {
			t.Fatalf("%v\n%s", err, p.text())
		}
		s = next
	}
	select {
	case err := <-lease.Lost():
		t.Errorf("the survivor's lease was lost: %v", err)
	default:
	}
}

// TestSecondMemsd is told who has the data file.
func TestSecondMemsd(t *testing.T) {
	dir := t.TempDir()
	p := startMemsd(t, dir, "127.0.0.1:0")
	cmd := exec.Command(os.Getenv(binEnv), "-addr=127.0.0.1:0", "-datafile=persist.json", "-flagfile=", "-httpaddr=")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), p.addr) || !strings.Contains(string(out), "persist.json") {
		t.Fatalf("a second memsd on the same file: %v\n%s", err, out)
	}
	p.kill()
	startMemsd(t, dir, "127.0.0.1:0") // what the dead one has left is no obstacle
}

// TestBrokenFile is refused with its place, and left alone.
func TestBrokenFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "persist.json")
	const broken = "{\n  \"version\": 1,\n  \"values\": {\n    \"a\": oops\n  }\n}\n"
	if err := os.WriteFile(path, []byte(broken), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Getenv(binEnv), "-addr=127.0.0.1:0", "-datafile="+path, "-flagfile=", "-httpaddr=")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "line 4, column 10") {
		t.Fatalf("memsd on a broken file: %v\n%s", err, out)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != broken {
		t.Fatalf("the file has %q now, %v", got, err)
	}
}

// TestFileIsForPeople: what is set is in the file soon, readable; what a person writes there while memsd is down is taken.
func TestFileIsForPeople(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "persist.json")
	p := startMemsd(t, dir, "127.0.0.1:0")
	if code, _, stderr := ask(t, p.addr, "-cmd=setvalue", "config/rule", "{\n  \"a\": 1\n}"); code != 0 {
		t.Fatal(stderr)
	}
	const want = "{\n  \"version\": 1,\n  \"values\": {\n    \"config/rule\": {\n      \"a\": 1\n    }\n  }\n}\n"
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		got, err := os.ReadFile(path)
		if string(got) == want {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the data file has %q, %v", got, err)
		}
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if code, stdout, _ := ask(t, p.addr, "-cmd=setvalue", "config/rule", "{\n  \"a\": 1\n}"); code != 0 || !strings.Contains(stdout, "already") {
		t.Errorf("setting the same again: %d, %s", code, stdout)
	}
	p.kill()
	if after, err := os.Stat(path); err != nil || !os.SameFile(before, after) || after.ModTime() != before.ModTime() {
		t.Error("setting what was set has written the file again")
	}
	if err := os.WriteFile(path, []byte(strings.Replace(want, ": 1\n    }", ": 2\n    }", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	p = startMemsd(t, dir, "127.0.0.1:0")
	if code, stdout, stderr := ask(t, p.addr, "-cmd=getvalue", "config/rule"); code != 0 || stdout != "{\n  \"a\": 2\n}\n" {
		t.Errorf("after an edit: %d %q %q", code, stdout, stderr)
	}
}

// TestWatchCommand prints changes until it is stopped.
func TestWatchCommand(t *testing.T) {
	p := startMemsd(t, t.TempDir(), "127.0.0.1:0")
	cmd := exec.Command(os.Getenv(binEnv), "-sdaddr="+p.addr, "-flagfile=", "-cmd=watch", "config/")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	expect := func(want string) {
		t.Helper()
		if !lines.Scan() || !strings.Contains(lines.Text(), want) {
			t.Fatalf("watch prints %q, want %q", lines.Text(), want)
		}
	}
	expect("watching from revision")
	c := discovery.Dial(context.Background(), p.addr, discovery.Options{})
	defer c.Close()
	for _, op := range []discovery.Op{
		discovery.SetOp("other/x", "1"), discovery.SetOp("config/x", "one\ntwo"), discovery.DeleteOp("other/x"), discovery.DeleteOp("config/x"),
	} {
		if _, err := c.Apply(within(t), op); err != nil {
			t.Fatal(err)
		}
	}
	expect("+key  config/x = one two")
	expect("-key  config/x")
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		_ = cmd.Process.Kill() // Windows
	}
	_, _ = io.Copy(io.Discard, out)
	_ = cmd.Wait()
}
