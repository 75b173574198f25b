package sqldb

import (
	"context"
	"fmt"
	"runtime"
)

// maxBatch bounds the writes of one transaction, and so what one commit may
// lose and how long it holds up other processes.
const maxBatch = 1024

// job is one write that waits.
type job struct {
	ctx      context.Context
	f        func(ctx context.Context, tx Tx) error
	answered chan struct{}
	err      error
	panicked any // what f panicked with
}

// Write runs f in a transaction that it shares with other writes, and returns
// when that is on the disk. If f returns an error, all it did is undone and the
// error returned. f runs on another goroutine, alone, and holds up all other
// writes: it should do nothing but use tx. It may run twice, when what it did the
// first time was undone because another write has failed; what it leaves for its
// caller must be that of the last time. A panic of f comes out of Write.
//
// If ctx is done while f waits for its turn, f does not run and the error wraps
// that of ctx. The context that f gets is never done: SQLite would undo the
// others' writes with an interrupted one. An error wraps ErrUnavailable if it is
// not f's; ErrInDoubt too if the commit itself failed.
func (db *DB) Write(ctx context.Context, f func(ctx context.Context, tx Tx) error) error {
	if err := ctx.Err(); err != nil {
		return db.gone(err)
	}
	j := &job{ctx: ctx, f: f, answered: make(chan struct{})}
	if err := db.enqueue(j); err != nil {
		return err
	}
	select {
	case <-j.answered:
	case <-ctx.Done():
		if db.withdraw(j) {
			return db.gone(ctx.Err())
		}
		<-j.answered
	}
	if j.panicked != nil {
		panic(j.panicked)
	}
	return j.err
}

// gone is the error of a caller who has left before it was his turn.
func (db *DB) gone(err error) error { return fmt.Errorf("write to %s: %w", db.source.name, err) }

func (db *DB) enqueue(j *job) error {
	if why := db.unready.Load(); why != nil {
		return *why
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	switch {
	case db.closed:
		return errClosed
	case len(db.queue) >= db.most:
		db.refused.Add(1)
		return errQueueFull
	}
	db.queue = append(db.queue, j)
	if len(db.queue) == 1 {
		db.signal()
	}
	return nil
}

// withdraw takes j back; false if it is no longer in the queue.
func (db *DB) withdraw(j *job) bool {
	db.mu.Lock()
	defer db.mu.Unlock()
	for i, o := range db.queue {
		if o == j {
			db.queue = append(db.queue[:i:i], db.queue[i+1:]...)
			return true
		}
	}
	return false
}

func (db *DB) signal() {
	select {
	case db.wake <- struct{}{}:
	default:
	}
}

// take is what waits, up to maxBatch.
func (db *DB) take() []*job {
	db.mu.Lock()
	defer db.mu.Unlock()
	n := min(len(db.queue), maxBatch)
	jobs := db.queue[:n:n]
	db.queue = db.queue[n:]
	if len(db.queue) == 0 {
		db.queue = nil
	}
	return jobs
}

// fewWrites are worth letting other goroutines run first: those that are about to
// write then come along in the same commit.
const fewWrites = 16

// waiting reports whether there is something to write, whether that is little,
// and whether there will ever be something.
func (db *DB) waiting() (now, few, ever bool) {
	db.mu.Lock()
	defer db.mu.Unlock()
	return len(db.queue) > 0, len(db.queue) < fewWrites, !db.closed
}

// writeAll is the one goroutine that writes.
func (db *DB) writeAll() {
	defer close(db.ended)
	defer db.prepared.close()
	for {
		now, few, ever := db.waiting()
		switch {
		case now:
			if few { // who wakes us by his write makes us the next to run
				runtime.Gosched()
			}
			db.batch()
			db.prepared.learn(context.Background())
		case ever:
			<-db.wake
		default:
			return
		}
	}
}
