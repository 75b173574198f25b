package crew

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/davyxu/cellmesh_demo/svc/robot/robotapi"
	"github.com/davyxu/cellmesh_demo/svc/robot/tally"
)

// conclude tells the report. Its error says that the run failed: a promise was
// broken, or not all robots stayed.
func (c *Crew) conclude(ctx context.Context, m *meter) error {
	if c.flags.database != "" {
		if err := c.checkLedger(ctx); err != nil {
			return fmt.Errorf("-database: %w", err)
		}
	}
	r, err := c.report(m)
	if err != nil {
		return err
	}
	c.progress.end()
	if c.progress.mode != "json" {
		c.print(r)
	}
	if c.flags.json != "" {
		if err := r.Write(c.flags.json); err != nil {
			return fmt.Errorf("-json: %w", err)
		}
	}
	if c.flags.plot != "" {
		if err := writePlot(c.flags.plot, r); err != nil {
			return fmt.Errorf("-plot: %w", err)
		}
	}
	lost := r.Robots + r.Idle - c.present()
	switch {
	case r.ViolationCount > 0:
		v := r.Violations[0]
		return fmt.Errorf("promises broken: %d, the first: %s, %s at %.3f s: expected %s, seen %s", r.ViolationCount, v.Kind, v.Robot, v.At, v.Expected, v.Seen)
	case c.scenario.Visit == nil && lost > 0 && len(r.Errors) > 0:
		return fmt.Errorf("%d of %d robots did not get in or did not stay: %s", lost, r.Robots+r.Idle, r.Errors[0].Example)
	}
	return nil
}

func (c *Crew) report(m *meter) (*robotapi.Report, error) {
	f := &c.flags
	r := &robotapi.Report{
		Scenario: f.scenario, CommType: f.commType, Robots: f.n, Online: c.online, Idle: f.idle, IdleIn: c.idlers,
		InFlight: f.inflight, Rate: f.rate, Think: f.think.Seconds(), Size: f.size, Seed: f.seed,
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
	say("scenario %s over %s, seed %d: %d robots, %d idle connections, in flight %d, %s", r.Scenario, r.CommType, r.Seed, r.Online, r.IdleIn, r.InFlight, paceOf(r))
	say("%-10s %10s %12s %10s %10s %10s %10s", "", "count", "per second", "p50", "p90", "p99", "max")
	for _, op := range append(r.Enter[:len(r.Enter):len(r.Enter)], r.Ops...) {
		say("%-10s %10d %12.1f %10s %10s %10s %10s", op.Name, op.Count, op.PerSecond, micros(op.P50), micros(op.P90), micros(op.P99), micros(op.Max))
	}
	say("measured %.1f s; the robots themselves took %.2f s of processor time meanwhile, %.2f s in all, and %.1f MB (%.1f kB each)",
		r.Seconds, r.CPU, r.CPUTotal, float64(r.MemoryBytes)/1e6, float64(r.MemoryBytes)/1e3/float64(max(r.Online+r.IdleIn, 1)))
	for _, e := range r.Errors {
		say("error %s: %d times, first: %s", e.Code, e.Count, e.Example)
	}
	for _, v := range r.Violations {
		say("VIOLATION %s, %s at %.3f s: expected %s; seen %s", v.Kind, v.Robot, v.At, v.Expected, v.Seen)
	}
	if more := r.ViolationCount - int64(len(r.Violations)); more > 0 {
		say("VIOLATION and %d more", more)
	}
}

// paceOf is in words how fast the robots asked.
func paceOf(r *robotapi.Report) string {
	switch {
	case r.Rate > 0:
		return fmt.Sprintf("%v/s each", r.Rate)
	case r.Think > 0:
		return fmt.Sprintf("%v to think", time.Duration(r.Think*float64(time.Second)))
	}
	return "as fast as they are answered"
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
