package rules

import (
	"fmt"
	"sync"
	"time"
)

// A line's ID is, from the high bits: 41 of milliseconds since 2026, 10 of the
// index of the service that made it, 12 of a number within the millisecond. So
// IDs can be sorted by time, no two services make the same, and those that one
// service makes grow. A sender who moves to another service gets higher ones
// from there if the clocks differ by less than the move takes. They are good
// until 2095.
const (
	indexBits    = 10
	sequenceBits = 12
)

// MaxIndex is the highest index of a service that can make IDs.
const MaxIndex = 1<<indexBits - 1

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// IDs makes the IDs of one service. Any goroutine may use it.
type IDs struct {
	index uint64

	mu   sync.Mutex
	last uint64 // milliseconds and number of the last ID
}

// NewIDs makes IDs for the service with this index.
func NewIDs(index int) (*IDs, error) {
	if index < 0 || index > MaxIndex {
		return nil, fmt.Errorf("service index %d: line IDs have room for 0 to %d", index, MaxIndex)
	}
	return &IDs{index: uint64(index)}, nil
}

// Next is the ID of a line said now, higher than all before. A clock that goes
// back is waited for by counting on.
func (g *IDs) Next(now time.Time) uint64 {
	at := uint64(max(now.Sub(epoch).Milliseconds(), 0)) << sequenceBits
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.last++; g.last < at {
		g.last = at
	}
	return g.last>>sequenceBits<<(indexBits+sequenceBits) | g.index<<sequenceBits | g.last&(1<<sequenceBits-1)
}
