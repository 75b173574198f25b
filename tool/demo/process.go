package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	// stopTimeout is how long a child may take to stop; its own bounds for
	// leaving, draining and closing (basefx) are shorter together.
	stopTimeout = 25 * time.Second
	// stopPatience is how long it may take before the person is told.
	stopPatience = 2 * time.Second
	// tailLines is how much of a log is shown when its process has died.
	tailLines = 15
)

// process is one child process.
type process struct {
	name    string // "agent-0"
	program string // "agent"
	cmd     *exec.Cmd
	life    io.Closer // the lifeline: our end of its standard input
	log     *logFile
	again   string        // the command that starts it again by hand
	done    chan struct{} // closed when it has ended; how is in cmd.ProcessState then

	over bool // it has ended; guarded by demo.mu
}

// spawn starts a program as a service of the demo.
func (d *demo) spawn(name, program string, args ...string) (*process, error) {
	log, err := openLog(filepath.Join(d.home, "log", name+".log"))
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(filepath.Join(d.bin, program), append(d.commonArgs(), args...)...)
	cmd.Args = append(cmd.Args, "-lifeline", "-logfile="+log.path)
	cmd.Dir = d.home
	cmd.Stdout, cmd.Stderr = log, log // what does not go through the logger: a panic
	cmd.WaitDelay = time.Second
	ownGroup(cmd)
	life, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &process{name: name, program: program, cmd: cmd, life: life, log: log, done: make(chan struct{})}
	p.again = "go run ./svc/" + program + " " + strings.Join(args, " ")
	d.mu.Lock()
	d.children = append(d.children, p)
	d.mu.Unlock()
	go func() { // ends with the process, and stop waits for that
		defer close(p.done)
		_ = cmd.Wait() // how it ended is in cmd.ProcessState
		d.ended(p)
	}()
	return p, nil
}

// ended is called once for each process, when it has ended.
func (d *demo) ended(p *process) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p.over = true
	switch d.phase {
	case starting:
		d.died(p.obituary())
	case serving:
		d.say.line("demo: %v\ndemo: the rest goes on; this starts it again: %s", p.obituary(), p.again)
	}
}

// commonArgs are the flags of every program, client included. Values that
// would keep the launcher from talking to memsd are not left to the flag file
// or the environment.
func (d *demo) commonArgs() []string {
	args := []string{"-lanip=127.0.0.1", "-secret=", "-sdca="}
	asked := os.Getenv("CELLMESH_FLAGFILE")
	file := cmp.Or(asked, filepath.Join("cfg", "LocalFlag.cfg"))
	if !filepath.IsAbs(file) { // a child is in another folder than we are
		file = filepath.Join(d.root, file)
	}
	if _, err := os.Stat(file); err == nil || asked != "" {
		args = append(args, "-flagfile="+file)
	}
	return args
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// obituary tells how a process that should run has ended, with the end of its
// log. Only after its end.
func (p *process) obituary() error {
	return fmt.Errorf("%s (pid %d) has ended: %v; the end of %s:\n%s", p.name, p.pid(), p.cmd.ProcessState, p.log.shown(), p.log.tail(tailLines))
}

// stop asks the process to stop, waits for its end, and kills it when that
// does not come within timeout or when hurry is closed. It says what is not as
// it should be.
func (p *process) stop(timeout time.Duration, hurry <-chan struct{}, say *teller) {
	asked := askToStop(p.cmd.Process) == nil
	if !asked { // it has ended, or the system cannot ask
		p.life.Close()
	}
	slow := time.AfterFunc(stopPatience, func() { say.line("waiting for %s to stop (Ctrl-C ends the wait)", p.name) })
	defer slow.Stop()
	patience := time.NewTimer(timeout)
	defer patience.Stop()
	select {
	case <-p.done:
		if asked && !p.cmd.ProcessState.Success() {
			say.line("demo: it did not stop well: %v", p.obituary())
		}
		return
	case <-patience.C:
		say.line("demo: %s did not stop within %v and was killed", p.name, timeout)
	case <-hurry:
	}
	_ = p.cmd.Process.Kill() // fails when it has ended just now
	<-p.done
}
