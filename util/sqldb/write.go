package sqldb

import (
	"context"
	"database/sql"
	"fmt"
	"runtime/debug"
	"time"
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
// error returned. f runs on another goroutine, once, alone, and holds up all
// other writes: it should do nothing but use tx. A panic of f comes out of Write.
//
// If ctx is done before f has begun, f does not run and the error is that of
// ctx. The context that f gets is never done: SQLite would undo the others' writes
// with an interrupted one. An error wraps ErrUnavailable if it is not f's;
// ErrInDoubt too if the commit itself failed.
func (db *DB) Write(ctx context.Context, f func(ctx context.Context, tx Tx) error) error {
	j := &job{ctx: ctx, f: f, answered: make(chan struct{})}
	if err := db.enqueue(j); err != nil {
		return err
	}
	select {
	case <-j.answered:
	case <-ctx.Done():
		if db.withdraw(j) {
			return fmt.Errorf("write to %s: %w", db.source.name, ctx.Err())
		}
		<-j.answered
	}
	if j.panicked != nil {
		panic(j.panicked)
	}
	return j.err
}

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

// waiting reports whether there is something to write, and whether there will
// be.
func (db *DB) waiting() (now, ever bool) {
	db.mu.Lock()
	defer db.mu.Unlock()
	return len(db.queue) > 0, !db.closed
}

// writeAll is the one goroutine that writes.
func (db *DB) writeAll() {
	defer close(db.done)
	defer db.prepared.close()
	for {
		now, ever := db.waiting()
		switch {
		case now:
			db.batch()
			db.prepared.learn(db.ctx)
		case ever:
			<-db.wake
		default:
			return
		}
	}
}

// batch writes what waits in one transaction. It is taken from the queue only
// when the transaction has begun: until then it grows, and may be withdrawn.
func (db *DB) batch() {
	begun, err := db.begin()
	jobs := db.take()
	if err != nil {
		db.answer(jobs, db.wrap(err))
		return
	}
	tx := db.prepared.begun(begun)
	var good []*job
	for i, j := range jobs {
		var broken error
		if j.err, broken = db.run(tx, j); broken != nil {
			tx.Rollback()
			db.answer(append(good, jobs[i:]...), db.wrap(broken))
			return
		}
		if j.err == nil && j.panicked == nil {
			good = append(good, j)
		} else {
			db.failed.Add(1)
			close(j.answered)
		}
	}
	if err := tx.Commit(); err != nil {
		db.answer(good, fmt.Errorf("commit to %s: %w: %w", db.source.name, ErrInDoubt, ensure(err)))
		return
	}
	db.commits.Add(1)
	db.writes.Add(int64(len(good)))
	db.answer(good, nil)
}

func (db *DB) answer(jobs []*job, err error) {
	for _, j := range jobs {
		if err != nil {
			j.err, j.panicked = err, nil
			db.failed.Add(1)
		}
		close(j.answered)
	}
}

// begin waits until this process may write, with bounds.
func (db *DB) begin() (*sql.Tx, error) {
	ctx, cancel := context.WithTimeout(db.ctx, db.patience)
	defer cancel()
	if err := db.turn.take(ctx); err != nil {
		return nil, err
	}
	defer db.turn.give()
	for {
		tx, err := db.write.BeginTx(db.ctx, nil)
		if !isBusy(err) {
			return tx, ensure(err)
		}
		select {
		case <-time.After(lockLook):
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", errLocked, err)
		}
	}
}

// ensure makes every error of the transaction itself ErrUnavailable: nobody's
// function can help it.
func ensure(err error) error {
	if err == nil || unavailable(err) != err {
		return unavailable(err)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// run runs one write in a savepoint of its own; broken says that the whole
// transaction is lost.
func (db *DB) run(tx *preparedTx, j *job) (err, broken error) {
	if err := j.ctx.Err(); err != nil {
		return err, nil
	}
	if _, err := tx.ExecContext(db.ctx, "SAVEPOINT one"); err != nil {
		return nil, ensure(err)
	}
	err = db.call(tx, j)
	if err != nil || j.panicked != nil {
		_, broken = tx.ExecContext(db.ctx, "ROLLBACK TO SAVEPOINT one")
	}
	if broken == nil {
		_, broken = tx.ExecContext(db.ctx, "RELEASE SAVEPOINT one")
	}
	if broken != nil {
		if err != nil && unavailable(err) != err {
			broken = err // why SQLite has given up the transaction
		}
		return nil, ensure(broken)
	}
	return db.wrap(err), nil
}

// call runs f and keeps its panic for its own caller.
func (db *DB) call(tx *preparedTx, j *job) error {
	defer func() {
		if v := recover(); v != nil {
			j.panicked = fmt.Sprintf("%v, in a function for sqldb.Write:\n%s", v, debug.Stack())
		}
	}()
	return j.f(context.WithoutCancel(j.ctx), tx)
}
