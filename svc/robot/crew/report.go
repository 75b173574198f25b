package crew

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/davyxu/cellmesh_demo/svc/robot/robotapi"
	"github.com/davyxu/cellmesh_demo/svc/robot/tally"
)

// conclude tells the report. Its error says that the run failed: a promise was
// broken, not all robots stayed, or the report could not be written.
func (c *Crew) conclude(ctx context.Context, m *meter) error {
	unread := c.checkLedger(ctx)
	if unread != nil {
		unread = fmt.Errorf("-database: %w", unread)
	}
	r, err := c.report(m)
	if err != nil {
		return err
	}
	c.progress.end()
	if c.progress.mode != "json" {
		c.print(r)
	}
	return errors.Join(c.verdict(r), unread, c.write(r))
}

// write writes the files that are asked for.
func (c *Crew) write(r *robotapi.Report) error {
	var all []error
	if c.flags.json != "" {
		if err := r.Write(c.flags.json); err != nil {
			all = append(all, fmt.Errorf("-json: %w", err))
		}
	}
	if c.flags.plot != "" {
		if err := writePlot(c.flags.plot, r); err != nil {
			all = append(all, fmt.Errorf("-plot: %w", err))
		}
	}
	return errors.Join(all...)
}

// writable returns what would keep a file from being written.
func writable(name string) error {
	if name == "" {
		return nil
	}
	_, err := os.Stat(name)
	f, oerr := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o644)
	if oerr != nil {
		return oerr
	}
	if errors.Is(err, fs.ErrNotExist) {
		defer os.Remove(name) // there may never be anything to write
	}
	return f.Close()
}

// verdict is why a run failed, nil if it did not.
func (c *Crew) verdict(r *robotapi.Report) error {
	if r.ViolationCount > 0 {
		v := r.Violations[0]
		return fmt.Errorf("promises broken: %d, the first: %s, %s at %.3f s: expected %s, seen %s", r.ViolationCount, v.Kind, v.Robot, v.At, v.Expected, v.Seen)
	}
	lost := r.Robots + r.Idle - c.present()
	if c.scenario.Visit != nil || lost <= 0 {
		return nil
	}
	for _, e := range r.Errors {
		if !strings.HasPrefix(e.Code, "refused: ") { // what was refused does not keep anybody out
			return fmt.Errorf("%d of %d robots did not get in or did not stay: %s (%s)", lost, r.Robots+r.Idle, e.Example, e.Code)
		}
	}
	return nil // interrupted
}

func (c *Crew) report(m *meter) (*robotapi.Report, error) {
	f := &c.flags
	r := &robotapi.Report{
		Scenario: f.scenario, CommType: f.commType, Robots: f.n, Online: c.online, Idle: f.idle, IdleIn: c.idlers,
		InFlight: f.inflight, Rate: f.rate, Think: f.think.Seconds(), Behind: m.behind.Seconds(), Size: f.size, Seed: f.seed,
		Seconds: m.end.Sub(m.start).Seconds(), CPU: m.cpu.Seconds(), CPUTotal: cpuTime().Seconds(),
		Ops: []robotapi.Op{}, Enter: []robotapi.Op{}, Timeline: m.timeline, Errors: c.tally.Errors(),
	}
	r.ViolationCount, r.Violations = c.tally.Violations()
	r.MemoryBytes = memory()
	for _, o := range m.ops {
		op, err := robotapi.NewOp(o.op.Name, o.sum, m.end.Sub(m.start))
		if err != nil {
			return nil, err
		}
		if op.Count > 0 {
			r.Ops = append(r.Ops, op)
		}
	}
	for _, o := range c.enter.Ops() {
		all := tally.NewHistogram()
		o.Take(all)
		if all.TotalCount() == 0 {
			continue
		}
		op, err := robotapi.NewOp(o.Name, all, c.entered)
		if err != nil {
			return nil, err
		}
		r.Enter = append(r.Enter, op)
	}
	return r, nil
}

// memoryOfGo is the memory that Go has taken from the system, touched or not.
func memoryOfGo() uint64 {
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	return mem.Sys - mem.HeapReleased
}

// print tells the report to a person.
func (c *Crew) print(r *robotapi.Report) {
	say := func(format string, args ...any) { fmt.Fprintf(c.out, format+"\n", args...) }
	say("")
	say("scenario %s over %s, seed %d: %s; %s", r.Scenario, r.CommType, r.Seed, crowdOf(r), paceOf(r))
	say("%-10s %10s %12s %10s %10s %10s %10s", "", "count", "per second", "p50", "p90", "p99", "max")
	for _, op := range append(r.Enter[:len(r.Enter):len(r.Enter)], r.Ops...) {
		say("%-10s %10d %12.1f %10s %10s %10s %10s", op.Name, op.Count, op.PerSecond, micros(op.P50), micros(op.P90), micros(op.P99), micros(op.Max))
	}
	say("measured %.1f s; %s", r.Seconds, c.costOf(r))
	if r.Behind >= tellBehind {
		say("in the end requests were up to %s late, as too many were not answered: the latencies tell, which count from when each was due", micros(r.Behind*1e6))
	}
	for _, e := range r.Errors {
		say("error %s: %s, first: %s", e.Code, count(e.Count, "time"), e.Example)
	}
	if c.flags.noToken && r.Scenario == "echo" && r.Op("echo") == nil {
		say("no reply of message ID %d was heard: -ackid says which the server replies with", c.flags.ackID)
	}
	for _, v := range r.Violations {
		say("VIOLATION %s, %s at %.3f s: expected %s; seen %s", v.Kind, v.Robot, v.At, v.Expected, v.Seen)
	}
	switch more := r.ViolationCount - int64(len(r.Violations)); {
	case more > 0:
		say("VIOLATION and %d more", more)
	case r.ViolationCount == 0:
		say("no promise was broken")
	}
}

// tellBehind is how many seconds robots may be behind their rate before it says
// that what they ask is not served as fast.
const tellBehind = 0.1

// crowdOf is in words who is there.
func crowdOf(r *robotapi.Report) string {
	text := count(int64(r.Online), "robot")
	if r.Online < r.Robots {
		text = fmt.Sprintf("%d of %s", r.Online, count(int64(r.Robots), "robot"))
	}
	switch {
	case r.IdleIn < r.Idle:
		text += fmt.Sprintf(" and %d of %s", r.IdleIn, count(int64(r.Idle), "idle connection"))
	case r.Idle > 0:
		text += " and " + count(int64(r.Idle), "idle connection")
	}
	return text
}

// paceOf is in words how fast the robots asked.
func paceOf(r *robotapi.Report) string {
	text := fmt.Sprintf("each has %d under way", r.InFlight)
	switch {
	case r.Rate > 0:
		return fmt.Sprintf("each asks %v times a second", r.Rate)
	case r.Think > 0:
		return fmt.Sprintf("%s, with %v to think", text, time.Duration(r.Think*float64(time.Second)))
	}
	return text
}

// enough is from how many robots on it says something what one of them takes.
const enough = 100

// costOf is in words what the robots themselves took.
func (c *Crew) costOf(r *robotapi.Report) string {
	cpu, memory := "", ""
	var ops int64
	for _, op := range r.Ops {
		ops += op.Count
	}
	if ops > 0 {
		cpu = fmt.Sprintf(" (%s an operation)", micros(r.CPU*1e6/float64(ops)))
	}
	if n := r.Online + r.IdleIn; n >= enough && r.MemoryBytes > c.before {
		memory = fmt.Sprintf(" (%.1f kB a robot)", float64(r.MemoryBytes-c.before)/1e3/float64(n))
	}
	return fmt.Sprintf("the robots themselves took %.2f s of processor time meanwhile%s, %.2f s in all, and %.1f MB%s", r.CPU, cpu, r.CPUTotal, float64(r.MemoryBytes)/1e6, memory)
}

// count is so many of something.
func count(n int64, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%d %ss", n, of)
}

// micros is a latency in words.
func micros(us float64) string {
	d := time.Duration(us * 1e3)
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(100 * time.Nanosecond).String()
}
