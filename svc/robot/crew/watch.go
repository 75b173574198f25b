package crew

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/davyxu/cellmesh_demo/svc/robot/robotapi"
	"github.com/davyxu/cellmesh_demo/svc/robot/tally"
)

// meter is what is measured while the robots play. It belongs to the goroutine
// that watches them.
type meter struct {
	crew     *Crew
	ops      []measured
	start    time.Time
	last     time.Time // end of the last interval
	end      time.Time
	cpu      time.Duration // taken before start; then while measuring
	behind   time.Duration // the rate, in the end
	timeline []robotapi.Second
	part     *hdrhistogram.Histogram // scratch: an operation in an interval
	all      *hdrhistogram.Histogram // scratch: all of them

	failed, broken int64 // errors and violations until then
}

// measured is one operation.
type measured struct {
	op  *tally.Op
	sum *hdrhistogram.Histogram
}

// watch lets the robots warm up, measures, and tells every second how it goes.
func (c *Crew) watch() *meter {
	c.pass(c.flags.warmup, time.Now(), nil)
	m := &meter{crew: c, cpu: cpuTime(), start: time.Now(), part: tally.NewHistogram(), all: tally.NewHistogram()}
	for _, op := range c.tally.Ops() {
		op.Take(nil)
		m.ops = append(m.ops, measured{op, tally.NewHistogram()})
	}
	m.failed, m.broken = c.tally.Counts()
	m.last = m.start
	c.progress.phase(robotapi.Measuring, c.present(), c.flags.n+c.flags.idle)
	c.pass(c.flags.lasts, m.start, m.interval)
	m.interval()
	m.end = m.last
	m.cpu = cpuTime() - m.cpu
	for _, r := range c.robots {
		m.behind = max(m.behind, r.Behind())
	}
	c.progress.phase(robotapi.Measured, c.present(), c.flags.n+c.flags.idle)
	return m
}

// pass waits until so long after start; for 0, if every second is worth
// a call, until interrupted. It ends early when interrupted or when nobody is
// online any more, nor coming back.
func (c *Crew) pass(lasts time.Duration, start time.Time, second func()) {
	end := start.Add(lasts)
	if lasts == 0 && second == nil {
		return
	}
	for next := start.Add(time.Second); ; next = next.Add(time.Second) {
		last := lasts > 0 && !next.Before(end)
		if last {
			next = end
		}
		select {
		case <-time.After(time.Until(next)):
		case <-c.interrupted:
			return
		}
		if last {
			return
		}
		if second != nil {
			second()
		}
		if c.allGone() {
			return
		}
	}
}

// allGone reports whether nobody is online and nobody is coming back. It looks
// twice, as somebody may have left, or may have come, between two looks.
func (c *Crew) allGone() bool {
	return c.away.Load() == 0 && c.present() == 0 && c.away.Load() == 0
}

// present is how many are online now, idle ones too.
func (c *Crew) present() int {
	n := int(c.guests.Load())
	for _, r := range c.robots {
		if r.IsOnline() {
			n++
		}
	}
	return n
}

// interval books what was counted since the last call, and tells it.
func (m *meter) interval() {
	now, part, all := time.Now(), m.part, m.all
	all.Reset()
	took := now.Sub(m.last)
	s := robotapi.Second{At: now.Sub(m.start).Seconds(), Online: m.crew.present(), Ops: []robotapi.OpSecond{}}
	m.findOps()
	for _, o := range m.ops {
		part.Reset()
		o.op.Take(part)
		o.sum.Merge(part)
		all.Merge(part)
		if part.TotalCount() > 0 {
			s.Ops = append(s.Ops, robotapi.OpSecond{
				Name: o.op.Name, PerSecond: float64(part.TotalCount()) / took.Seconds(),
				P50: robotapi.Quantile(part, 50), P99: robotapi.Quantile(part, 99),
			})
		}
	}
	m.last = now
	if took < time.Second/10 && len(m.timeline) > 0 {
		return // what is left over at the end says nothing by itself
	}
	s.PerSecond = float64(all.TotalCount()) / took.Seconds()
	s.P50, s.P99 = robotapi.Quantile(all, 50), robotapi.Quantile(all, 99)
	failed, broken := m.crew.tally.Counts()
	s.Errors, s.Violations = failed-m.failed, broken-m.broken
	m.failed, m.broken = failed, broken
	m.timeline = append(m.timeline, s)
	m.crew.progress.second(&s, m.crew.flags.n+m.crew.flags.idle, broken, m.crew.tally.Errors())
}

// findOps adds operations that were named since the last look.
func (m *meter) findOps() {
	for _, op := range m.crew.tally.Ops()[len(m.ops):] {
		m.ops = append(m.ops, measured{op, tally.NewHistogram()})
	}
}
