package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync/atomic"
	"time"

	"github.com/davyxu/cellmesh_demo/proto/pb"
)

// subject is the channel.
const subject = "bench.news"

// window is how many messages the slowest subscriber may be behind: for one much,
// for many less, so that what waits for all of them stays in the caches.
func window(subscribers int) int64 { return max(2048, 32768/int64(subscribers)) }

// message is what is published.
func message(o options) *pb.ChatACK { return &pb.ChatACK{Content: strings.Repeat("x", o.size)} }

// counter counts what one subscriber got; it has a cache line of its own.
type counter struct {
	n atomic.Int64
	_ [56]byte
}

func slowest(all []counter) int64 {
	least := all[0].n.Load()
	for i := range all {
		least = min(least, all[i].n.Load())
	}
	return least
}

func total(all []counter) (sum int64) {
	for i := range all {
		sum += all[i].n.Load()
	}
	return sum
}

// warmup is how long it runs before anything is counted.
const warmup = 300 * time.Millisecond

// between is how many messages are published between two looks at the window.
const between = 256

// drive publishes for a while, never more than the window ahead of the slowest
// subscriber, and returns how many messages a second all subscribers got.
func drive(ctx context.Context, o options, got []counter, publish func() error) (perSecond float64, err error) {
	var sent, least int64
	most := window(len(got))
	began, counted := time.Now(), int64(-1)
	for {
		for sent-least+between > most {
			if least = slowest(got); sent-least+between > most {
				time.Sleep(50 * time.Microsecond) // leave the processors to those who read
				if time.Since(began) > warmup+o.duration+10*time.Second {
					return 0, fmt.Errorf("stuck: %d were published, the slowest subscriber has %d", sent, least)
				}
			}
		}
		for range between {
			if err := publish(); err != nil {
				return 0, err
			}
		}
		sent += between
		switch took := time.Since(began); {
		case counted < 0 && took >= warmup:
			began, counted = time.Now(), total(got)
		case counted >= 0 && took >= o.duration:
			return float64(total(got)-counted) / took.Seconds(), ctx.Err()
		}
	}
}

// process is a program under test.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

// start starts a program, and waits for a line on its standard error that ready
// takes something out of.
func start(ready func(line string) (string, bool), program string, args ...string) (p *process, found string, err error) {
	cmd := exec.Command(program, args...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, "", err
	}
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	p = &process{cmd: cmd, ended: make(chan struct{})}
	is := make(chan string, 1)
	go func() { // ends with the process, which kill waits for
		defer close(p.ended)
		lines, told := bufio.NewScanner(stderr), false
		for lines.Scan() {
			if what, ok := ready(lines.Text()); ok && !told {
				told = true
				is <- what
			}
		}
		_, _ = io.Copy(io.Discard, stderr)
		_ = cmd.Wait()
	}()
	select {
	case found = <-is:
		return p, found, nil
	case <-p.ended:
		return nil, "", errors.New(program + " did not start")
	case <-time.After(10 * time.Second):
		p.kill()
		return nil, "", errors.New(program + " does not become ready")
	}
}

// after is what follows a word in a line, up to the next space.
func after(word string) func(line string) (string, bool) {
	return func(line string) (string, bool) {
		_, rest, ok := strings.Cut(line, word)
		what, _, _ := strings.Cut(rest, " ")
		return what, ok
	}
}

// kill ends the process without a warning.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}
