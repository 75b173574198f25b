package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// stopTimeout is how long a child may take to stop before it is killed.
const stopTimeout = 15 * time.Second

// child is a process that bench started.
type child struct {
	name  string
	cmd   *exec.Cmd
	stdin io.WriteCloser // its lifeline
	log   string         // file with what it wrote
	out   *os.File
	lines chan string   // what it writes to standard output, if that is read
	done  chan struct{} // closed when it has ended and err is set
	err   error
}

// spawn starts a program in dir. With read its standard output comes line by
// line from lines, which must be emptied; everything goes to a log file.
func spawn(dir, name string, read bool, program string, args ...string) (*child, error) {
	c := &child{name: name, cmd: exec.Command(program, args...), log: filepath.Join(dir, name+".log"), done: make(chan struct{})}
	var err error
	if c.out, err = os.Create(c.log); err != nil {
		return nil, err
	}
	c.cmd.Dir = dir
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "CELLMESH_") { // would change what is measured
			c.cmd.Env = append(c.cmd.Env, v)
		}
	}
	c.cmd.SysProcAttr = dieWithUs()
	c.cmd.Stdout, c.cmd.Stderr = c.out, c.out
	var stdout io.ReadCloser
	if read {
		c.cmd.Stdout = nil
		if stdout, err = c.cmd.StdoutPipe(); err != nil {
			return nil, err
		}
		c.lines = make(chan string, 16)
	}
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		c.out.Close()
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go c.wait(stdout)
	return c, nil
}

// wait reads the child's output and waits for its end.
func (c *child) wait(stdout io.Reader) {
	defer close(c.done)
	defer c.out.Close()
	if stdout != nil {
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			fmt.Fprintln(c.out, lines.Text())
			c.lines <- lines.Text()
		}
		close(c.lines)
	}
	c.err = c.cmd.Wait()
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// ended reports whether the child has ended.
func (c *child) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// stop ends the child, in good order if it follows its lifeline and gracefully
// is set, and waits for it.
func (c *child) stop(gracefully bool) error {
	if c.lines != nil {
		go func() { // until the child has ended
			for range c.lines {
			}
		}()
	}
	c.stdin.Close()
	if !gracefully {
		c.cmd.Process.Kill()
	}
	select {
	case <-c.done:
	case <-time.After(stopTimeout):
		c.cmd.Process.Kill()
		<-c.done
		return fmt.Errorf("%s did not stop within %v", c.name, stopTimeout)
	}
	if gracefully && c.err != nil {
		return c.obituary()
	}
	return nil
}

// obituary tells how the child ended and what it said last.
func (c *child) obituary() error {
	text, _ := os.ReadFile(c.log)
	last := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(last) > 10 {
		last = last[len(last)-10:]
	}
	return fmt.Errorf("%s ended: %v; its last lines (%s):\n  %s", c.name, c.err, c.log, strings.Join(last, "\n  "))
}

// await polls until ok says so. It fails when a child has ended or ctx is done.
func await(ctx context.Context, what string, limit time.Duration, children []*child, ok func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for !ok() {
		for _, c := range children {
			if c.ended() {
				return c.obituary()
			}
		}
		select {
		case <-ctx.Done():
			if ctx.Err() == context.DeadlineExceeded {
				return fmt.Errorf("%s: not within %v", what, limit)
			}
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}
