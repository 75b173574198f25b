package gateway

import (
	"sync"
	"sync/atomic"
)

// slots finds clients by number. A number is generation<<32 | slot, so that
// what arrives for a client that has left finds nobody, not its successor in
// the slot. Lookups take no lock.
type slots struct {
	table []atomic.Pointer[client]
	live  atomic.Int64
	used  atomic.Uint32 // slots below have been in use at some time

	mu   sync.Mutex
	free []uint32
	gen  uint32
}

func (s *slots) init(most int) { s.table = make([]atomic.Pointer[client], most) }

// add enters c and gives it its number; false when all slots are taken.
func (s *slots) add(c *client) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	var i uint32
	if n := len(s.free); n > 0 {
		i, s.free = s.free[n-1], s.free[:n-1]
	} else if i = s.used.Load(); int(i) < len(s.table) {
		s.used.Store(i + 1)
	} else {
		return false
	}
	if s.gen++; s.gen == 0 {
		s.gen = 1
	}
	c.id = uint64(s.gen)<<32 | uint64(i)
	s.table[i].Store(c)
	s.live.Add(1)
	return true
}

func (s *slots) remove(c *client) {
	i := uint32(c.id)
	s.table[i].Store(nil)
	s.live.Add(-1)
	s.mu.Lock()
	s.free = append(s.free, i)
	s.mu.Unlock()
}

func (s *slots) get(id uint64) *client {
	if i := uint32(id); int(i) < len(s.table) {
		if c := s.table[i].Load(); c != nil && c.id == id {
			return c
		}
	}
	return nil
}

// each calls f for every client that was there all the while.
func (s *slots) each(f func(*client)) {
	for i := range s.used.Load() {
		if c := s.table[i].Load(); c != nil {
			f(c)
		}
	}
}

func (s *slots) count() int { return int(s.live.Load()) }
