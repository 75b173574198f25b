package clientapi

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/util/cellnet"
)

// beatTick is how finely the heartbeats of many clients are spread over the time
// between two of one client. Those of a tick leave together, and their answers
// are read together: with 2,000 heartbeats a second, ticks of 20 ms instead of
// 5 ms cost robots and agent half as much.
const beatTick = 20 * time.Millisecond

// Beats sends the heartbeats of many clients, spread evenly, from one goroutine
// instead of a timer each. The zero Beats is ready; one goroutine has to Run it.
type Beats struct {
	Every time.Duration // between two of one client; 0 means 5 s, as clients do

	mu    sync.Mutex
	frame cellnet.Prepared
	slots [][]*cellnet.Session // made by the first who needs them
	added int
}

func (b *Beats) every() time.Duration { return cmp.Or(b.Every, heartbeatEvery) }

// count is how many slots there are.
func (b *Beats) count() int { return max(int(b.every()/beatTick), 1) }

// Run sends heartbeats until ctx is done.
func (b *Beats) Run(ctx context.Context) {
	slots := b.count()
	every := b.every() / time.Duration(slots)
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
		if due-done > slots {
			done = due - slots
		}
		for ; done < due; done++ {
			b.beat(done % slots)
		}
	}
}

// add enters a client, who is struck off when it has closed.
func (b *Beats) add(s *cellnet.Session) {
	const golden = 0.6180339887498949 // its multiples, without their whole parts, are spread evenly however many there are
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.slots == nil {
		b.slots = make([][]*cellnet.Session, b.count())
	}
	_, part := math.Modf(float64(b.added) * golden)
	i := int(part * float64(len(b.slots)))
	b.slots[i] = append(b.slots[i], s)
	b.added++
}

// beat sends the heartbeats of one slot. Sending does not block, and so may
// happen under the lock.
func (b *Beats) beat(slot int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.slots == nil {
		return
	}
	b.slots[slot] = slices.DeleteFunc(b.slots[slot], (*cellnet.Session).Ending)
	b.frame.Set(pb.PingACKID, nil)
	b.frame.Send(b.slots[slot]) // a heartbeat is not too large
}
