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
	timeline []robotapi.Second
}

// measured is one operation.
type measured struct {
	op  *tally.Op
	sum *hdrhistogram.Histogram
}

// watch lets the robots warm up, measures, and tells every second how it goes.
func (c *Crew) watch() *meter {
	c.pass(c.flags.warmup, time.Now(), nil)
	m := &meter{crew: c, cpu: cpuTime(), start: time.Now()}
	for _, op := range c.tally.Ops() {
		op.Take(nil)
		m.ops = append(m.ops, measured{op, tally.NewHistogram()})
	}
	m.last = m.start
	if c.flags.lasts > 0 {
		c.say("%s for %v", robotapi.LineMeasuring, c.flags.lasts)
	} else {
		c.say("%s until interrupted", robotapi.LineMeasuring)
	}
	c.pass(c.flags.lasts, m.start, m.interval)
	m.interval()
	m.end = m.last
	m.cpu = cpuTime() - m.cpu
	c.say("%s for %.3f s", robotapi.LineMeasured, m.end.Sub(m.start).Seconds())
	return m
}

// pass waits until so long after start; for 0, if every second is worth
// a call, until interrupted. It ends early when interrupted or when nobody is
// online any more.
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
		if c.present() == 0 {
			return
		}
	}
}

// present is how many are online now, idle ones too.
func (c *Crew) present() int {
	n := int(c.idling.Load())
	for _, r := range c.robots {
		if r.IsOnline() {
			n++
		}
	}
	return n
}

// interval books what was counted since the last call, and tells it.
func (m *meter) interval() {
	now, all := time.Now(), tally.NewHistogram()
	for _, o := range m.ops {
		part := tally.NewHistogram()
		o.op.Take(part)
		o.sum.Merge(part)
		all.Merge(part)
	}
	took := now.Sub(m.last)
	m.last = now
	if took < time.Second/10 && len(m.timeline) > 0 {
		return // what is left over at the end says nothing by itself
	}
	s := robotapi.Second{
		At: now.Sub(m.start).Seconds(), PerSecond: float64(all.TotalCount()) / took.Seconds(),
		P50: robotapi.Quantile(all, 50), P99: robotapi.Quantile(all, 99),
	}
	m.timeline = append(m.timeline, s)
	errors, violations := m.crew.tally.Counts()
	m.crew.say("%4.0fs online %d ops/s %.0f p50 %s p99 %s errors %d violations %d",
		s.At, m.crew.present(), s.PerSecond, micros(s.P50), micros(s.P99), errors, violations)
}
