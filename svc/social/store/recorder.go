package store

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/davyxu/cellmesh_demo/util/sqldb"
)

// maxLines wait to be written, at most. What comes on top is dropped, and counted.
const maxLines = 20_000

// recordEvery is the time between two writes; recordRetry that after one that
// failed; recordPatience how long one may wait for the database, the last one too.
const (
	recordEvery    = 250 * time.Millisecond
	recordRetry    = time.Second
	recordPatience = 5 * time.Second
)

// Recorder writes lines behind. To add does not wait for anything.
// One goroutine has to Run it.
//
// Of a room no more lines wait than its history keeps: the others would be cut
// off as soon as they were written.
type Recorder struct {
	store *Store
	keep  func() int
	log   *slog.Logger
	every time.Duration
	wake  chan struct{} // holds one: something waits

	away bool // the database was, when last written to; owned by Run

	mu      sync.Mutex
	rooms   map[string][]Line // that wait, by room, in the order of their IDs but for few
	lines   int               // in rooms
	writing []Line            // under way

	dropped atomic.Int64
	written atomic.Int64
}

// NewRecorder makes a Recorder; keep is how many lines of a room are kept, 1 at
// least.
func NewRecorder(s *Store, keep func() int, log *slog.Logger) *Recorder {
	return &Recorder{store: s, keep: keep, log: log, every: recordEvery, wake: make(chan struct{}, 1), rooms: map[string][]Line{}}
}

// Said adds a line.
func (r *Recorder) Said(l Line) {
	keep := r.keep()
	r.mu.Lock()
	room := r.rooms[l.Room]
	if len(room) >= 2*keep { // cut by half, so that it is not moved for every line
		r.lines -= len(room) - keep
		room = append(room[:0], room[len(room)-keep:]...)
	}
	full := r.lines >= maxLines
	if !full {
		room = append(room, l)
		r.lines++
	}
	if len(room) > 0 {
		r.rooms[l.Room] = room
	}
	r.mu.Unlock()
	if full {
		r.dropped.Add(1)
		return
	}
	r.signal()
}

func (r *Recorder) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Dropped is how many lines were not written, because too many waited or the
// database refused them.
func (r *Recorder) Dropped() int64 { return r.dropped.Load() }

// Written is how many lines were written.
func (r *Recorder) Written() int64 { return r.written.Load() }

// Waiting is how many lines wait to be written.
func (r *Recorder) Waiting() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lines + len(r.writing)
}

// History is that of the Store, with the lines that wait here. If the database is
// away it is those alone, and the error.
func (r *Recorder) History(ctx context.Context, room string, before uint64, limit int) ([]Line, error) {
	r.mu.Lock() // before the store is asked: what is written meanwhile is found twice
	lines := slices.Clone(r.rooms[room])
	for _, l := range r.writing {
		if l.Room == room {
			lines = append(lines, l)
		}
	}
	r.mu.Unlock()
	stored, err := r.store.History(ctx, room, before, limit)
	lines = append(lines, stored...)
	if before != 0 {
		lines = slices.DeleteFunc(lines, func(l Line) bool { return l.ID >= before })
	}
	slices.SortFunc(lines, func(a, b Line) int { return cmp.Compare(a.ID, b.ID) })
	lines = slices.CompactFunc(lines, func(a, b Line) bool { return a.ID == b.ID })
	return lines[max(0, len(lines)-limit):], err
}

// Run writes until ctx is done, and then what waits.
func (r *Recorder) Run(ctx context.Context) {
	for over := false; !over; {
		select {
		case <-r.wake:
		case <-ctx.Done():
			over = true
		}
		pause := r.every
		if err := r.write(context.WithoutCancel(ctx)); err != nil { // what is begun when ctx ends is finished
			pause = recordRetry
			r.signal()
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// write writes what waits. If the database is away, it waits on.
func (r *Recorder) write(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, recordPatience)
	defer cancel()
	keep := r.keep()
	r.mu.Lock()
	for _, room := range slices.Sorted(maps.Keys(r.rooms)) {
		lines := r.rooms[room]
		r.writing = append(r.writing, lines[max(0, len(lines)-keep):]...)
	}
	clear(r.rooms)
	r.lines = 0
	b := r.writing
	r.mu.Unlock()
	if len(b) == 0 {
		return nil
	}
	err := r.store.Record(ctx, b, keep)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writing = nil
	switch {
	case err == nil:
		r.away = false
		r.written.Add(int64(len(b)))
		return nil
	case errors.Is(err, sqldb.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		r.back(b, keep)
		if !r.away {
			r.log.Warn("the history of chat is not written: it waits for the database", "lines", r.lines, "err", err)
		}
		r.away = true
	default:
		r.dropped.Add(int64(len(b)))
		r.log.Error("lines of chat are not written, and lost from the history", "lines", len(b), "err", err)
	}
	return err
}

// back puts a batch back in front of what has come meanwhile. The caller holds
// mu.
func (r *Recorder) back(b []Line, keep int) {
	old := map[string][]Line{}
	for _, l := range b {
		old[l.Room] = append(old[l.Room], l)
	}
	for room, lines := range old {
		all := append(lines, r.rooms[room]...)
		all = all[max(0, len(all)-keep):]
		r.lines += len(all) - len(r.rooms[room])
		r.rooms[room] = all
	}
}
