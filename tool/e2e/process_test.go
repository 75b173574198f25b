//go:build unix

package e2e

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Every wait is bounded by far more than anything takes, even with the race
// detector on a busy machine.
const (
	deadline      = 2 * time.Minute
	buildDeadline = 5 * time.Minute // for what compiles and links first
)

// process is a program that a test runs. It ends with the test, and with the
// test binary: it lives as long as its standard input.
type process struct {
	t      testing.TB
	name   string
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout lines
	stderr lines
	limit  time.Duration // of each wait
	done   chan struct{} // closed when it has ended and everything it wrote is in stdout and stderr
}

// start runs cmd as name.
func start(t testing.TB, name string, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, name: name, cmd: cmd, limit: deadline, done: make(chan struct{})}
	pipes := make([]io.ReadCloser, 2)
	var err error
	for i, pipe := range []func() (io.ReadCloser, error){cmd.StdoutPipe, cmd.StderrPipe} {
		if pipes[i], err = pipe(); err != nil {
			t.Fatal(err)
		}
	}
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		var reading sync.WaitGroup
		reading.Go(func() { p.stdout.read(pipes[0]) })
		reading.Go(func() { p.stderr.read(pipes[1]) })
		reading.Wait()
		_ = cmd.Wait() // how it ended is in cmd.ProcessState
	}()
	t.Cleanup(func() {
		if !p.ended() {
			p.stop()
		}
		p.stdin.Close()
		if t.Failed() {
			t.Logf("--- %s, %v\n%s%s", name, cmd.ProcessState, p.stdout.text(), p.stderr.text())
		}
	})
	return p
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// wait waits for the end and returns the exit code, or the negative signal.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(p.limit):
		p.t.Fatalf("%s does not end", p.name)
	}
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return -int(status.Signal())
	}
	return p.cmd.ProcessState.ExitCode()
}

// signal sends one.
func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatal(err)
	}
}

// kill is kill -9.
func (p *process) kill() {
	p.t.Helper()
	p.signal(syscall.SIGKILL)
	p.wait()
}

// stop asks the process to stop. It has to, with exit code 0.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
		if !p.cmd.ProcessState.Success() {
			p.t.Errorf("%s did not stop well: %v", p.name, p.cmd.ProcessState)
		}
	case <-time.After(deadline):
		p.t.Errorf("%s does not stop", p.name)
		p.kill()
	}
}

// enter types a line.
func (p *process) enter(line string) {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, line+"\n"); err != nil {
		p.t.Fatalf("%s takes no input: %v", p.name, err)
	}
}

// prints waits until the process has written this line to standard output.
func (p *process) prints(line string) {
	p.t.Helper()
	p.until(&p.stdout, "print "+line, func(l string) bool { return l == line })
}

// says waits until the process has written a line with all of these words to
// standard error, and returns it.
func (p *process) says(words ...string) string {
	p.t.Helper()
	return p.until(&p.stderr, "say "+strings.Join(words, " ... "), func(l string) bool { return hasAll(l, words) })
}

// saidTimes is how many lines of standard error have all of these words.
func (p *process) saidTimes(words ...string) int {
	n := 0
	for _, l := range strings.Split(p.stderr.text(), "\n") {
		if hasAll(l, words) {
			n++
		}
	}
	return n
}

func hasAll(line string, words []string) bool {
	for _, w := range words {
		if !strings.Contains(line, w) {
			return false
		}
	}
	return true
}

func (p *process) until(where *lines, what string, is func(line string) bool) string {
	p.t.Helper()
	timeout := time.After(p.limit)
	for seen := 0; ; {
		all, changed := where.from(seen)
		for _, l := range all {
			if is(l) {
				return l
			}
		}
		seen += len(all)
		select {
		case <-changed:
		case <-timeout:
			p.t.Fatalf("%s does not %s", p.name, what)
		case <-p.done:
			if more, _ := where.from(seen); len(more) == 0 {
				p.t.Fatalf("%s has ended (%v) and did not %s", p.name, p.cmd.ProcessState, what)
			}
		}
	}
}

// eventually polls until ok says so.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(deadline); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", deadline, what)
		}
	}
}

// lines is what a process has written so far.
type lines struct {
	mu      sync.Mutex
	all     []string
	changed chan struct{} // closed at the next line
}

func (l *lines) read(r io.Reader) {
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadString('\n')
		if line != "" {
			l.mu.Lock()
			l.all = append(l.all, strings.TrimRight(line, "\r\n"))
			if l.changed != nil {
				close(l.changed)
				l.changed = nil
			}
			l.mu.Unlock()
		}
		if err != nil {
			return
		}
	}
}

// from returns the lines after the first n, and what is closed when there are
// more.
func (l *lines) from(n int) ([]string, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return l.all[n:len(l.all):len(l.all)], l.changed
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.all) == 0 {
		return ""
	}
	return strings.Join(l.all, "\n") + "\n"
}
