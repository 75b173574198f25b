package mailbox

import (
	"runtime"
	"sync"
)

// idlePerCPU bounds the goroutines kept for reuse, for each processor. A fresh
// one grows its stack again in every handler, which costs more than the rest of
// a wake.
const idlePerCPU = 64

// Group owns the goroutines of many mailboxes, so that somebody can wait for
// them. The zero Group is ready.
type Group struct {
	wg sync.WaitGroup

	mu   sync.Mutex
	idle []chan func() // of goroutines that wait for work; each holds one
	done bool
}

// Go runs f on a goroutine of the group.
func (g *Group) Go(f func()) {
	g.mu.Lock()
	if n := len(g.idle); n > 0 {
		worker := g.idle[n-1] // the last to have worked: its stack is in the cache
		g.idle[n-1] = nil
		g.idle = g.idle[:n-1]
		g.mu.Unlock()
		worker <- f
		return
	}
	g.wg.Add(1)
	g.mu.Unlock()
	go g.work(f)
}

func (g *Group) work(f func()) {
	defer g.wg.Done()
	more := make(chan func(), 1)
	for ok := true; ok; f, ok = <-more {
		f()
		g.mu.Lock()
		if g.done || len(g.idle) >= idlePerCPU*runtime.GOMAXPROCS(0) {
			g.mu.Unlock()
			return
		}
		g.idle = append(g.idle, more)
		g.mu.Unlock()
	}
}

// Wait returns when no mailbox of the group is running and no goroutine is
// left. Close the mailboxes first: what is posted during Wait may not be waited
// for.
func (g *Group) Wait() {
	g.mu.Lock()
	g.done = true
	for _, worker := range g.idle {
		close(worker)
	}
	g.idle = nil
	g.mu.Unlock()
	g.wg.Wait()
}
