package store

import (
	"context"
	"iter"
	"sort"
	"sync"
	"sync/atomic"
)

// How much of the past a feed remembers: a watcher that falls further behind is given the whole state instead.
const (
	maxEvents     = 4096
	maxEventBytes = 16 << 20
)

// Feed passes the states of a store on to those who read, wait and watch. One goroutine at a time publishes; any
// number read. Watchers pull, so a slow one costs nothing but its own place in the past.
type Feed struct {
	snap atomic.Pointer[Snapshot]

	mu      sync.Mutex
	events  []Event       // the past, oldest first
	bytes   int           // their estimated size
	floor   uint64        // every change after this revision is in events
	changed chan struct{} // closed by the next publication; nil while nobody waits
	closed  bool
}

// NewFeed returns a feed whose first state is snap, with no past.
func NewFeed(snap *Snapshot) *Feed {
	f := &Feed{floor: snap.rev}
	f.snap.Store(snap)
	return f
}

// Snapshot returns the newest state; never nil. It is one atomic load.
func (f *Feed) Snapshot() *Snapshot { return f.snap.Load() }

// Publish makes snap, which events led to, the newest state. An older snapshot than the present one is ignored:
// what readers see only moves forward.
func (f *Feed) Publish(snap *Snapshot, events ...Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || snap.rev <= f.Snapshot().rev {
		return
	}
	f.snap.Store(snap) // before anybody is woken: an event's state can be read as soon as the event is seen
	for _, ev := range events {
		if ev.Reset != nil {
			f.forget(len(f.events), ev.Revision)
		} else if len(ev.Changes) > 0 {
			f.events = append(f.events, ev)
			f.bytes += ev.size()
		}
	}
	drop := 0
	for bytes := f.bytes; len(f.events)-drop > maxEvents || bytes > maxEventBytes; drop++ {
		bytes -= f.events[drop].size()
	}
	if drop > 0 {
		f.forget(drop, f.events[drop-1].Revision)
	}
	f.wake()
}

// forget drops the n oldest events; floor is the newest revision that is not remembered any more.
func (f *Feed) forget(n int, floor uint64) {
	for _, ev := range f.events[:n] {
		f.bytes -= ev.size()
	}
	clear(f.events[:n]) // free what they point to, also while the array lives on
	f.events = f.events[n:]
	f.floor = max(f.floor, floor)
}

func (f *Feed) wake() {
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
}

// Close wakes all who wait. The newest state stays readable.
func (f *Feed) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	f.wake()
}

// Since returns every event after the revision from, in order, and the revision they lead to. Not ok: the past does
// not reach back that far, or from is in the future. The result must not be modified.
func (f *Feed) Since(from uint64) (events []Event, revision uint64, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.since(from)
}

func (f *Feed) since(from uint64) ([]Event, uint64, bool) {
	rev := f.Snapshot().rev
	if from < f.floor || from > rev {
		return nil, rev, false
	}
	i := sort.Search(len(f.events), func(i int) bool { return f.events[i].Revision > from })
	return append([]Event(nil), f.events[i:]...), rev, true
}

// next returns a channel that is closed by the next publication after f.mu was held for the caller's look.
func (f *Feed) next() chan struct{} {
	if f.changed == nil {
		f.changed = make(chan struct{})
	}
	return f.changed
}

// Wait returns the newest state as soon as its revision is above after. It fails with ctx's error or ErrClosed.
func (f *Feed) Wait(ctx context.Context, after uint64) (*Snapshot, error) {
	for {
		if s := f.Snapshot(); s.rev > after {
			return s, nil
		}
		f.mu.Lock()
		if f.closed {
			f.mu.Unlock()
			return nil, ErrClosed
		}
		if f.Snapshot().rev > after {
			f.mu.Unlock()
			continue
		}
		changed := f.next()
		f.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Watch yields every event after the revision from, each once and in order, until ctx is done or f is closed.
// When from is 0 or lies outside the remembered past, or the loop's body takes so long that the past has moved on,
// the next event is a Reset.
func (f *Feed) Watch(ctx context.Context, from uint64) iter.Seq[Event] {
	return func(yield func(Event) bool) {
		at := from
		fresh := from == 0
		for ctx.Err() == nil {
			f.mu.Lock()
			if f.closed {
				f.mu.Unlock()
				return
			}
			snap := f.Snapshot()
			if snap.rev == 0 || snap.rev == at && !fresh {
				changed := f.next()
				f.mu.Unlock()
				select {
				case <-changed:
				case <-ctx.Done():
				}
				continue
			}
			events, rev, ok := f.since(at)
			f.mu.Unlock()
			if fresh || !ok {
				events = []Event{{Revision: snap.rev, Reset: snap}}
			}
			fresh, at = false, rev
			for _, ev := range events {
				if ctx.Err() != nil || !yield(ev) {
					return
				}
			}
		}
	}
}
