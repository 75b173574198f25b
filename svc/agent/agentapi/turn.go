package agentapi

import (
	"sync/atomic"
	"time"

	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/util/cellnet"
)

// A message is handled on the goroutine that read it, which saves copying it
// and waking another. Handlers may block nevertheless: one that keeps the
// reader for long has it taken away, the way Go's scheduler takes
// the processor from a goroutine in a system call. Another goroutine then reads
// on, and for a while (spread) every client's messages run on goroutines of
// their own from the start.
const (
	patience   = 5 * time.Millisecond // between two looks
	stuckLooks = 2                    // that find the turn of the look before still under way: it lasts 10 to 15 ms
	firstGuard = time.Second          // how long to spread the first time
	longGuard  = 8 * time.Second      // and at most; doubled while handlers block as soon as it is over
	idleLooks  = 5                    // after which nobody needs to look any more
)

// turns are the handlers that run on the goroutine that reads a link, one after
// the other.
type turns struct {
	count uint64 // owned by the reader

	state   atomic.Uint64 // of the newest turn: count<<2 | busy | taken
	spread  atomic.Bool   // no turns just now: handlers have blocked
	watched atomic.Bool   // a watch runs
	over    chan struct{} // closed when the link has ended: there are no more turns
}

const (
	busy  = 1 // the handler runs
	taken = 2 // and the reader was taken away from it
)

// begin begins a turn. The order matters: a watch that is about to end looks
// again at the state.
func (a *agent) begin() (turn uint64) {
	a.turns.count++
	turn = a.turns.count<<2 | busy
	a.turns.state.Store(turn)
	if !a.turns.watched.Load() && a.turns.watched.CompareAndSwap(false, true) {
		a.srv.boxes.Go(a.watch)
	}
	return turn
}

// end ends a turn; false if the reader was taken away meanwhile: the caller is
// then no longer the one who reads.
func (a *agent) end(turn uint64) bool {
	return a.turns.state.CompareAndSwap(turn, turn&^busy)
}

// runHere handles a message on the calling goroutine, which reads the link and
// has entered c's mailbox.
func (a *agent) runHere(c *Client, f link.Frame) error {
	out := a.room
	a.room = nil // from begin on another goroutine may become the reader
	if out == nil {
		out = a.srv.getBuf()
	}
	turn := a.begin()
	c.serve(f.ID, f.Body, out)
	if a.end(turn) {
		a.room = out
		c.box.Leave(false)
		a.dirty = true
		return nil
	}
	a.srv.putBuf(out)
	a.link.Flush()
	c.box.Leave(true)
	return cellnet.ErrHandedOff
}

// watch looks at the turns of one link as long as there are any.
func (a *agent) watch() {
	look := time.NewTicker(patience)
	defer look.Stop()
	t := &a.turns
	var until, lately time.Time
	guard := firstGuard
	last, idle, stuck := t.state.Load(), 0, 0
	looked := time.Now()
	for {
		select {
		case <-look.C:
		case <-t.over:
			return
		}
		now := time.Now()
		late := now.Sub(looked) > 2*patience
		looked = now
		v := t.state.Load()
		switch {
		case v != last:
			idle, stuck = 0, 0
		case v&busy != 0 && v&taken == 0:
			if late {
				break // we had no processor; neither may the handler have had one
			}
			if stuck++; stuck < stuckLooks {
				break
			}
			if !t.state.CompareAndSwap(v, v|taken) {
				break // it has just ended
			}
			if now.Sub(lately) < guard+firstGuard {
				guard = min(2*guard, longGuard)
			} else {
				guard = firstGuard
			}
			until, lately = now.Add(guard), now
			t.spread.Store(true)
			a.link.HandOff()
		case t.spread.Load():
			if now.After(until) {
				t.spread.Store(false)
			}
		default:
			if idle++; idle < idleLooks {
				break
			}
			t.watched.Store(false)
			if t.state.Load() == v || !t.watched.CompareAndSwap(false, true) {
				return
			}
			idle = 0
		}
		last = t.state.Load()
	}
}
