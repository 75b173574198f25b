package e2e

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal is a process on a terminal of its own, as a person would run it.
type terminal struct {
	*process
	keyboard *os.File

	mu     sync.Mutex
	screen strings.Builder // all that was ever written
}

// onTerminal starts cmd on a new terminal. Everything it writes is on the
// screen.
func onTerminal(t *testing.T, name string, cmd *exec.Cmd) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() }) // after what is cleaned up below
	raw, err := master.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var slaveName string
	if cerr := raw.Control(func(fd uintptr) {
		var n int
		if n, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN); err != nil {
			return
		}
		slaveName = fmt.Sprintf("/dev/pts/%d", n)
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err != nil {
			return
		}
		err = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: 160})
	}); cerr != nil || err != nil {
		t.Fatal(cerr, err)
	}
	slave, err := os.OpenFile(slaveName, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer slave.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, name: name, cmd: cmd, limit: deadline, done: make(chan struct{}), stdin: master}
	term := &terminal{process: p, keyboard: master}
	go func() {
		defer close(p.done)
		var reading sync.WaitGroup
		reading.Go(func() { p.stdout.read(io.TeeReader(master, term)) }) // ends when nobody has the terminal open any more
		_ = cmd.Wait()                                                   // how it ended is in cmd.ProcessState
		reading.Wait()
	}()
	t.Cleanup(func() {
		if !p.ended() {
			p.stop()
		}
		if t.Failed() {
			t.Logf("--- %s, %v\n%s", name, cmd.ProcessState, term.seen())
		}
	})
	return term
}

// Write adds to the screen.
func (t *terminal) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.screen.Write(b)
}

func (t *terminal) seen() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.screen.String()
}

// sees waits until the screen has shown text.
func (t *terminal) sees(text string) {
	t.t.Helper()
	eventually(t.t, "the screen shows "+text, func() bool { return strings.Contains(t.seen(), text) })
}

// presses sends keys.
func (t *terminal) presses(keys string) {
	t.t.Helper()
	if _, err := io.WriteString(t.keyboard, keys); err != nil {
		t.t.Fatal(err)
	}
}

const (
	ctrlC = "\x03"
	ctrlD = "\x04"
)

// slowly is what a person is told when a program takes longer than a moment to
// stop.
var slowly = regexp.MustCompile(`(?m)^waiting for \S+ to stop \(Ctrl-C ends the wait\)\r?$`)

// On a terminal: Ctrl-C goes to the launcher and the client, and everything
// ends quietly; Ctrl-D is the end of input.
func TestDemoOnTerminal(t *testing.T) {
	t.Parallel()
	for _, end := range []string{ctrlC, ctrlD, "/quit\n"} {
		dir := newDemoDir(t)
		l := onTerminal(t, "demo", demoCommand(dir))
		l.sees("/quit or Ctrl-C ends")
		l.presses("hello\n")
		eventually(t, "hello comes back", func() bool { return strings.Count(l.seen(), "hello") == 2 }) // typed and heard
		before := l.seen()
		l.presses(end)
		if code := l.wait(); code != 0 {
			t.Errorf("after %q: exit code %d", end, code)
		}
		rest := strings.TrimPrefix(l.seen(), before)
		rest = strings.TrimSpace(slowly.ReplaceAllString(rest, "")) // on a busy machine
		if rest = strings.TrimPrefix(strings.TrimPrefix(rest, "^C"), "/quit"); rest != "" {
			t.Errorf("after %q it says %q", end, rest)
		}
		leavesNothing(t, dir)
	}
}

// Ctrl-C while the programs are built, and while they start.
func TestDemoInterruptedEarly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir() // without the programs: they have to be linked at least
	l := onTerminal(t, "demo", demoCommand(dir))
	l.sees("building ")
	l.presses(ctrlC)
	if code := l.wait(); code != 130 || !strings.Contains(l.seen(), "demo: stopped by Ctrl-C") {
		t.Errorf("while building: exit code %d", code)
	}
	leavesNothing(t, dir)

	// A game that may not link to its own group's hub is ready, but an agent
	// that may not link to a game waits for ever.
	dir = newDemoDir(t)
	cmd := demoCommand(dir)
	cmd.Env = append(cmd.Env, "CELLMESH_LINKRULE=game:elsewhere|dev")
	l = onTerminal(t, "demo", cmd)
	l.sees("agent-0 is waiting for game: no game that -linkrule allows")
	l.presses(ctrlC)
	if code := l.wait(); code != 130 || !strings.Contains(l.seen(), "demo: stopped by Ctrl-C") {
		t.Errorf("while starting: exit code %d", code)
	}
	leavesNothing(t, dir)
}

// A person at a terminal sees who speaks, in colours unless they are unwanted.
func TestChatOnTerminal(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.up()
	for _, test := range []struct{ env, sees string }{
		{"TERM=xterm", "\x1b[1malice:\x1b[0m hello"},
		{"NO_COLOR=1", "alice: hello"},
		{"TERM=dumb", "alice: hello"},
	} {
		cmd := exec.Command(filepath.Join(bin(), "client"), "-sdaddr="+s.sdaddr, "-uid=alice")
		cmd.Dir = s.dir
		cmd.Env = append(os.Environ(), "TERM=xterm", "NO_COLOR=", test.env)
		term := onTerminal(t, "alice", cmd)
		term.presses("hello\n")
		term.sees(test.sees)
		term.presses("/quit\n")
		if code := term.wait(); code != 0 {
			t.Errorf("%s: exit code %d", test.env, code)
		}
		if colors := strings.Contains(term.seen(), "\x1b["); colors != strings.Contains(test.sees, "\x1b[") {
			t.Errorf("%s: %q", test.env, term.seen())
		}
	}
}
