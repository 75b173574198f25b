package hubapi

import (
	"strings"
	"sync"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/util/mailbox"
)

// What may wait for one subscription's handler while it is at work on what had
// come before, which may be as much again.
const (
	MaxWaiting      = 8192     // messages
	MaxWaitingBytes = 16 << 20 // of their bodies
)

// keptRoom is how many items an idle queue keeps room for.
const keptRoom = 512

// queue is what waits for a subscription's handler: a mailbox that takes what it
// has all at once, and knows where messages are missing.
type queue struct {
	start func() // works until take returns nothing

	mu      sync.Mutex
	waiting []item
	bytes   int       // of the bodies in waiting
	at      *Delivery // of the newest message: most come from where the last one did
	working bool
	lost    uint64 // missing behind the last item
	gap     bool   // lost is to be told
}

// item is a message; or, without one, how many are missing in its place.
type item struct {
	at      *Delivery
	m       pb.Message
	asks    *asks // nil: no request
	missing uint64
}

func (it *item) from() string {
	if it.at == nil {
		return ""
	}
	return it.at.From
}

// put appends a message, which came as p. If there is no room it returns how many
// are missing by now, 1 or more.
func (q *queue) put(g *mailbox.Group, it item, p *pb.HubPublish) (missing uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) >= MaxWaiting || q.bytes > 0 && q.bytes+len(p.Body) > MaxWaitingBytes {
		q.lost++
		q.gap = true
		return q.lost
	}
	if q.at == nil || q.at.From != p.From || q.at.Channel != p.Channel {
		q.at = &Delivery{Channel: strings.Clone(p.Channel), From: strings.Clone(p.From)}
	}
	it.at = q.at
	q.tell()
	q.waiting = append(q.waiting, it)
	q.bytes += len(p.Body)
	q.work(g)
	return 0
}

// miss notes that n messages are missing here.
func (q *queue) miss(g *mailbox.Group, n uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.lost += n
	q.gap = true
	q.work(g)
}

// take returns all that waits and leaves it the room of batch. With nothing left
// it returns nothing, and work begins anew with the next item.
func (q *queue) take(batch []item) []item {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tell()
	if len(q.waiting) > 0 {
		batch, q.waiting, q.bytes = q.waiting, batch[:0], 0
		return batch
	}
	q.working = false
	if q.waiting == nil {
		q.waiting = batch[:0]
	}
	if cap(q.waiting) > keptRoom {
		q.waiting = nil
	}
	return nil
}

// The functions below are called with mu held.

// tell appends what is missing, whatever the limit: there are never two in a row.
func (q *queue) tell() {
	if q.gap {
		q.waiting = append(q.waiting, item{missing: q.lost})
		q.lost, q.gap = 0, false
	}
}

func (q *queue) work(g *mailbox.Group) {
	if !q.working {
		q.working = true
		g.Go(q.start)
	}
}
