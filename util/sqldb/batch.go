package sqldb

import (
	"context"
	"database/sql"
	"fmt"
	"runtime/debug"
	"time"
)

// batch writes what waits in one transaction. It is taken from the queue only
// when the transaction has begun: until then it grows, and may be withdrawn.
//
// Errors are rare, and a savepoint costs as much as a small write. So there are
// none at first; when a write has failed, all are undone and made again, each in
// a savepoint.
func (db *DB) batch() {
	tx, err := db.begin()
	jobs := db.take()
	if err == nil && !db.together(tx, jobs) {
		if tx, err = db.begin(); err == nil {
			db.apart(tx, jobs)
		}
	}
	if err != nil {
		db.answer(jobs, db.wrap(err))
	}
}

// together makes the writes one after the other and commits them; false says
// that one of several has failed, and nothing was written or answered.
func (db *DB) together(begun *sql.Tx, jobs []*job) bool {
	tx := db.prepared.begun(begun)
	for _, j := range jobs {
		if db.call(tx, j) {
			continue
		}
		begun.Rollback()
		if len(jobs) > 1 {
			return false
		}
		j.err = db.wrap(j.err)
		db.done(j)
		return true
	}
	db.commit(begun, jobs)
	return true
}

// apart makes the writes as if each had a transaction of its own, and commits
// them.
func (db *DB) apart(begun *sql.Tx, jobs []*job) {
	tx := db.prepared.begun(begun)
	var good []*job
	for i, j := range jobs {
		ok, broken := db.inSavepoint(tx, j)
		switch {
		case broken != nil:
			begun.Rollback()
			db.answer(append(good, jobs[i:]...), db.wrap(broken))
			return
		case ok:
			good = append(good, j)
		default:
			db.done(j)
		}
	}
	db.commit(begun, good)
}

func (db *DB) commit(tx *sql.Tx, jobs []*job) {
	if err := tx.Commit(); err != nil {
		db.answer(jobs, fmt.Errorf("commit to %s: %w: %w", db.source.name, ErrInDoubt, ensure(err)))
		return
	}
	db.commits.Add(1)
	db.writes.Add(int64(len(jobs)))
	db.answer(jobs, nil)
}

// answer answers jobs whose transaction has ended, with err if that is why.
func (db *DB) answer(jobs []*job, err error) {
	for _, j := range jobs {
		if err != nil {
			j.err, j.panicked = err, nil
		}
		db.done(j)
	}
}

// done answers one.
func (db *DB) done(j *job) {
	if j.err != nil || j.panicked != nil {
		db.failed.Add(1)
	}
	close(j.answered)
}

// begin waits until this process may write, with bounds.
func (db *DB) begin() (*sql.Tx, error) {
	ctx, cancel := context.WithTimeout(context.Background(), db.patience)
	defer cancel()
	if err := db.turn.take(ctx); err != nil {
		return nil, err
	}
	defer db.turn.give()
	for {
		tx, err := db.write.BeginTx(context.Background(), nil)
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

// inSavepoint makes one write; broken says that the whole transaction is lost.
func (db *DB) inSavepoint(tx *preparedTx, j *job) (ok bool, broken error) {
	do := func(what string) {
		if broken == nil {
			_, broken = tx.ExecContext(context.Background(), what)
		}
	}
	if do("SAVEPOINT one"); broken != nil {
		return false, ensure(broken)
	}
	if ok = db.call(tx, j); !ok {
		do("ROLLBACK TO SAVEPOINT one")
	}
	if do("RELEASE SAVEPOINT one"); broken != nil {
		if j.err != nil && unavailable(j.err) != j.err {
			broken = j.err // why SQLite has given up the transaction
		}
		return false, ensure(broken)
	}
	j.err = db.wrap(j.err)
	return ok, nil
}

// call runs f and keeps its panic for its own caller.
func (db *DB) call(tx *preparedTx, j *job) (ok bool) {
	j.err, j.panicked = nil, nil
	defer func() {
		if v := recover(); v != nil {
			j.panicked, ok = fmt.Sprintf("%v, in a function for sqldb.Write:\n%s", v, debug.Stack()), false
		}
	}()
	j.err = j.f(context.WithoutCancel(j.ctx), tx)
	return j.err == nil
}
