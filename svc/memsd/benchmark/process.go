package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// build makes the memsd program.
func build(ctx context.Context, path string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, "github.com/davyxu/cellmesh_demo/svc/memsd")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// process is a program under test.
type process struct {
	cmd   *exec.Cmd
	addr  string
	ended chan struct{}
}

// startMemsd starts a memsd with its data in dir, and waits until it says that it is ready.
func startMemsd(o options, dir, addr string) (*process, error) {
	cmd := exec.Command(o.memsd, "-addr="+addr, "-datafile="+filepath.Join(dir, "persist.json"), "-flagfile=", "-httpaddr=", "-loglevel=info")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, ended: make(chan struct{})}
	ready := make(chan string, 1)
	go func() { // ends with the process, which kill waits for
		defer close(p.ended)
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			if _, rest, ok := strings.Cut(lines.Text(), " ready addr="); ok {
				ready <- strings.Fields(rest)[0]
			}
		}
		_ = cmd.Wait()
	}()
	select {
	case p.addr = <-ready:
		return p, nil
	case <-p.ended:
		return nil, errors.New("memsd did not start")
	case <-time.After(10 * time.Second):
		p.kill()
		return nil, errors.New("memsd does not become ready")
	}
}

// kill ends the process without a warning.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// usage returns the memory that the process has in use and the CPU time it has used, as far as the system tells.
func (p *process) usage() (memory string, cpu time.Duration) {
	memory = "unknown here"
	if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid)); err == nil {
		for line := range bytes.Lines(b) {
			if rest, ok := bytes.CutPrefix(line, []byte("VmRSS:")); ok {
				memory = string(bytes.TrimSpace(rest))
			}
		}
	}
	if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid)); err == nil {
		if _, rest, ok := bytes.Cut(b, []byte(") ")); ok {
			fields := bytes.Fields(rest)
			var user, system int
			_, _ = fmt.Sscan(string(fields[11]), &user)
			_, _ = fmt.Sscan(string(fields[12]), &system)
			cpu = time.Duration(user+system) * 10 * time.Millisecond
		}
	}
	return memory, cpu
}
