package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/davyxu/cellmesh_demo/svc/robot/robotapi"
)

// robotLimit is how long a robot may take beside measuring: to get everybody in,
// to warm up, to wait for last replies.
const robotLimit = 3 * time.Minute

// robot is a running robot program.
type robot struct {
	*child
	report string // file
}

// startRobot starts robots that play against s.
func (b *bench) startRobot(s *servers, args ...string) (*robot, error) {
	b.robots++
	name := fmt.Sprint("robot", b.robots)
	r := &robot{report: filepath.Join(b.dir, name+".json")}
	args = append(append([]string{"-flagfile=", "-lifeline", "-progress=json", "-reconnect=false", "-json=" + r.report}, s.robot...), args...)
	var err error
	if r.child, err = spawn(b.dir, name, true, b.program("robot"), args...); err != nil {
		return nil, err
	}
	b.running = append(b.running, r.child)
	return r, nil
}

// until waits until the robot tells that a phase has begun.
func (r *robot) until(ctx context.Context, phase string) error {
	limit := time.After(robotLimit)
	for {
		select {
		case line, more := <-r.lines:
			if !more {
				<-r.done
				return r.obituary()
			}
			e, err := robotapi.ParseEvent(line)
			if err != nil {
				return fmt.Errorf("%s: %w (%s)", r.name, err, r.log)
			}
			if e.Phase == phase {
				return nil
			}
		case <-limit:
			return fmt.Errorf("%s does not come to %q (%s)", r.name, phase, r.log)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// readOn reads what the robot says until it ends, and forgets it.
func (r *robot) readOn() {
	go func() {
		for range r.lines {
		}
	}()
}

// finish waits for the end of the robot, interrupted or not, and reads its report.
func (r *robot) finish(interrupted bool) (*robotapi.Report, error) {
	r.readOn()
	if interrupted {
		if err := r.cmd.Process.Signal(os.Interrupt); err != nil {
			return nil, fmt.Errorf("interrupt %s: %w", r.name, err)
		}
	}
	select {
	case <-r.done:
	case <-time.After(robotLimit):
		return nil, fmt.Errorf("%s does not end (%s)", r.name, r.log)
	}
	if r.err != nil {
		return nil, r.obituary()
	}
	return robotapi.Read(r.report)
}

// play has robots play against s and returns what one operation of theirs was
// like, with the processor time of the servers meanwhile.
func (b *bench) play(ctx context.Context, s *servers, op string, args ...string) (figures, error) {
	r, err := b.startRobot(s, append([]string{fmt.Sprint("-for=", b.lasts), fmt.Sprint("-warmup=", b.warmup)}, args...)...)
	if err != nil {
		return nil, err
	}
	if err := r.until(ctx, robotapi.Measuring); err != nil {
		return nil, err
	}
	before, err := b.cpu(s)
	if err != nil {
		return nil, err
	}
	if err := r.until(ctx, robotapi.Measured); err != nil {
		return nil, err
	}
	after, err := b.cpu(s)
	if err != nil {
		return nil, err
	}
	report, err := r.finish(false)
	if err != nil {
		return nil, err
	}
	o := report.Op(op)
	if o == nil || o.Count == 0 {
		return nil, fmt.Errorf("%s measured nothing (%s)", r.name, r.log)
	}
	millions := float64(o.Count) / 1e6
	all := (after.all - before.all).Seconds()
	others := (after.machine - before.machine) - (after.children - before.children)
	return figures{
		opsPerSec: o.PerSecond, p50: o.P50, p99: o.P99,
		cpuPath: (after.path - before.path).Seconds() / millions, cpuAll: all / millions,
		cpuServers: all / report.Seconds, cpuRobot: report.CPU / report.Seconds,
		cpuOthers: max(others.Seconds()/report.Seconds, 0), // the kernel does not count both in the same way
	}, nil
}

// cpuUse is processor time taken so far.
type cpuUse struct {
	path, all time.Duration // by servers
	children  time.Duration // by everything that bench has started
	machine   time.Duration // by everything
}

func (b *bench) cpu(s *servers) (use cpuUse, err error) {
	for _, c := range b.running {
		if c.ended() {
			if slices.Contains(s.all, c) {
				return use, c.obituary()
			}
			continue // robots of an earlier part
		}
		t, err := cpuTime(c.pid())
		if err != nil {
			return use, err
		}
		use.children += t
		if slices.Contains(s.all, c) {
			use.all += t
		}
		if slices.Contains(s.path, c) {
			use.path += t
		}
	}
	use.machine, err = machineTime()
	return use, err
}
