package server

import (
	"time"

	"github.com/davyxu/cellmesh_demo/util/discovery/wire"
)

const (
	maxGatherWait = time.Millisecond      // that writes wait for others before they go to the disk
	stillWriting  = 20 * time.Millisecond // who wrote within this time is expected to write again
)

// gatherer lets writes wait a moment for those that are about to come, so that they share one wait for the disk. Who
// writes in a loop sends the next write when the last one was answered: after a group was answered its writers come
// again, but one by one. Without a wait the first would go to the disk alone. A single writer never waits. The core's
// goroutine uses it.
type gatherer struct {
	timer  *time.Timer
	round  uint64    // counts the groups with writes
	end    time.Time // of the last one
	took   time.Duration
	latest int // sessions that wrote in the last group ...
	active int // ... and in the last two
}

// patience is how long a group may wait for more; 0: not at all.
func (g *gatherer) patience(group []task) time.Duration {
	writers := 0
	for _, t := range group {
		if t.req.Do == wire.DoApply {
			writers++
		}
	}
	if writers == 0 || writers >= g.active || time.Since(g.end) > stillWriting {
		return 0
	}
	return min(g.took, maxGatherWait)
}

// wait takes more tasks until all who are expected have come, the wait is over, or the group is full.
func (g *gatherer) wait(tasks <-chan task, group []task) []task {
	patience := g.patience(group)
	if patience == 0 {
		return group
	}
	if g.timer == nil {
		g.timer = time.NewTimer(patience)
	} else {
		g.timer.Reset(patience)
	}
	defer g.timer.Stop()
	for len(group) < min(g.active, maxGroup) && group[len(group)-1].gone == nil {
		select {
		case t := <-tasks:
			group = append(group, t)
		case <-g.timer.C:
			return group
		}
	}
	return group
}

// done notes who was in a group, after it has become durable in the time took.
func (g *gatherer) done(group []task, took time.Duration) {
	fresh, again := 0, 0 // sessions of this group that were not in the last one, and those that were
	for _, t := range group {
		if t.req.Do != wire.DoApply || t.from.wrote == g.round+1 {
			continue
		}
		if t.from.wrote == g.round {
			again++
		} else {
			fresh++
		}
		t.from.wrote = g.round + 1
	}
	if fresh+again == 0 {
		return
	}
	g.round++
	g.active = g.latest + fresh
	g.latest = fresh + again
	g.took, g.end = took, time.Now()
}
