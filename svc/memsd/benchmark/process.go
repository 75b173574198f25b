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

// memory returns how many MB the process has in use; 0 if the system does not tell.
func (p *process) memory() float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(b) {
		var kb int
		if _, err := fmt.Sscanf(string(line), "VmRSS: %d kB", &kb); err == nil {
			return float64(kb) / 1024
		}
	}
	return 0
}

// cpu returns the CPU time that the process has used; 0 if the system does not tell.
func (p *process) cpu() time.Duration { return cpuOf(fmt.Sprint(p.cmd.Process.Pid)) }

// cpuOf returns the CPU time of a process by its name in /proc, which is known in units of 10 ms.
func cpuOf(name string) time.Duration {
	b, err := os.ReadFile("/proc/" + name + "/stat")
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(b, []byte(") "))
	fields := bytes.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	var user, system int
	_, _ = fmt.Sscan(string(fields[11]), &user)
	_, _ = fmt.Sscan(string(fields[12]), &system)
	return time.Duration(user+system) * 10 * time.Millisecond
}
