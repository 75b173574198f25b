package tally

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go" // the reference implementation in Go
)

// What a histogram tells apart: three digits, from 100 ns to a minute.
// A longer time counts as a minute.
const (
	digits   = 3
	shortest = int64(100 * time.Nanosecond)
	longest  = int64(time.Minute)
)

// shards is into how many parts an operation is counted, so that robots on
// different processors seldom meet. A power of two.
const shards = 8

// NewHistogram makes a histogram of nanoseconds.
func NewHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(shortest, longest, digits) }

// Op counts one kind of operation and how long it took.
type Op struct {
	Name   string
	shards [shards]shard

	take  sync.Mutex // one Take at a time; guards spare
	spare *hdrhistogram.Histogram
}

// shard is locked for an instant by robots and by Take.
type shard struct {
	mu  sync.Mutex
	now *hdrhistogram.Histogram
	_   [48]byte // what lies beside it is somebody else's
}

func newOp(name string) *Op {
	op := &Op{Name: name, spare: NewHistogram()}
	for i := range op.shards {
		op.shards[i].now = NewHistogram()
	}
	return op
}

// Record counts one operation of a robot.
func (o *Op) Record(robot int, took time.Duration) {
	ns := min(max(int64(took), 0), longest)
	s := &o.shards[robot%shards]
	s.mu.Lock()
	s.now.RecordValue(ns) // within its range
	s.mu.Unlock()
}

// Take adds what was counted since the last Take to into, and forgets it. A nil
// into drops it.
func (o *Op) Take(into *hdrhistogram.Histogram) {
	o.take.Lock()
	defer o.take.Unlock()
	for i := range o.shards {
		s := &o.shards[i]
		s.mu.Lock()
		taken := s.now
		s.now = o.spare
		s.mu.Unlock()
		if into != nil {
			into.Merge(taken)
		}
		taken.Reset()
		o.spare = taken
	}
}
