//go:build unix

package basefx

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// program starts the test binary as one of the programs of runProgram.
type program struct {
	t      *testing.T
	cmd    *exec.Cmd
	lines  *bufio.Scanner
	stderr logBuffer
}

func startProgram(t *testing.T, name string, args ...string) *program {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &program{t: t, cmd: exec.Command(exe, append([]string{"-flagfile=", "-httpaddr="}, args...)...)}
	p.cmd.Env = append(os.Environ(), programEnv+"="+name)
	p.cmd.Stderr = &p.stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.lines = bufio.NewScanner(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.cmd.Process.Kill() })
	return p
}

// line waits for a line on the program's standard output.
func (p *program) line(want string) {
	p.t.Helper()
	if !p.lines.Scan() || p.lines.Text() != want {
		p.t.Fatalf("printed %q, want %q; %s", p.lines.Text(), want, p.stderr.String())
	}
}

func (p *program) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// exit waits for the end and returns the exit code.
func (p *program) exit() int {
	p.cmd.Wait()
	return p.cmd.ProcessState.ExitCode()
}

// One Ctrl-C, or SIGTERM, is a good end; it is one also while nothing is there
// that the program needs.
func TestSignalWhileWaiting(t *testing.T) {
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			p := startProgram(t, "service", "-sdaddr=127.0.0.1:1")
			eventually(t, "waits for memsd", func() bool { return p.stderr.count("waiting for memsd") == 1 })
			p.signal(s)
			if code := p.exit(); code != 0 {
				t.Errorf("exit %d: %s", code, p.stderr.String())
			}
		})
	}
}

// The second Ctrl-C does not wait for the drain.
func TestSecondInterrupt(t *testing.T) {
	t.Parallel()
	p := startProgram(t, "slow")
	p.line("started")
	p.signal(os.Interrupt)
	p.line("draining")
	began := time.Now()
	p.signal(os.Interrupt)
	if code := p.exit(); code != 130 || time.Since(began) > drainTimeout/2 {
		t.Errorf("exit %d after %v", code, time.Since(began))
	}
}

// An error is one line on standard error, and exit 1; -h is exit 0.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	p := startProgram(t, "failing")
	if code := p.exit(); code != 1 || p.stderr.String() != "test: no disk in drive A\n" {
		t.Errorf("exit %d: %q", code, p.stderr.String())
	}
	p = startProgram(t, "failing", "-nosuch")
	if code := p.exit(); code != 1 || strings.Count(p.stderr.String(), "\n") != 1 {
		t.Errorf("exit %d: %q", code, p.stderr.String())
	}
	p = startProgram(t, "failing", "-h")
	var out bytes.Buffer
	for p.lines.Scan() {
		out.WriteString(p.lines.Text())
	}
	if code := p.exit(); code != 0 || !strings.Contains(out.String(), "-sdaddr") {
		t.Errorf("exit %d: %q", code, out.String())
	}
}
