package clientapi

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/util/cellnet"
)

// beatSlots is how finely the heartbeats of many clients are spread over the
// time between two of one client.
const beatSlots = 1000

// Beats sends the heartbeats of many clients, spread evenly, from one goroutine
// instead of a timer each. The zero Beats is ready; one goroutine has to Run it.
type Beats struct {
	Every time.Duration // between two of one client; 0 means 5 s, as clients do

	mu    sync.Mutex
	slots [beatSlots][]*cellnet.Session
	added int
}

// Run sends heartbeats until ctx is done.
func (b *Beats) Run(ctx context.Context) {
	every := cmp.Or(b.Every, heartbeatEvery) / beatSlots
	tick := time.NewTicker(every)
	defer tick.Stop()
	start := time.Now()
	for done := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		due := int(time.Since(start) / every) // a tick may come late, or stand for several
		if due-done > beatSlots {
			done = due - beatSlots
		}
		for ; done < due; done++ {
			b.beat(done % beatSlots)
		}
	}
}

// add enters a client, who is struck off when it has closed.
func (b *Beats) add(s *cellnet.Session) {
	const stride = 617 // has no divisor in common with beatSlots: neighbours are far apart, and all slots are used
	b.mu.Lock()
	defer b.mu.Unlock()
	i := b.added * stride % beatSlots
	b.slots[i] = append(b.slots[i], s)
	b.added++
}

// beat sends the heartbeats of one slot. Sending does not block, and so may
// happen under the lock.
func (b *Beats) beat(slot int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	alive := b.slots[slot][:0]
	for _, s := range b.slots[slot] {
		if s.SendMessage(pb.PingACKID, nil) == nil {
			alive = append(alive, s)
		}
	}
	clear(b.slots[slot][len(alive):])
	b.slots[slot] = alive
}
