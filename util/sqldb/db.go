package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// defaultQueue is Options.Queue if it is 0.
const defaultQueue = 16 << 10

// Options of a database.
type Options struct {
	// Queue is how many writes may wait; more are refused at once. 0 is 16,384.
	Queue int
}

// Stats are counters since Open, and what is now.
type Stats struct {
	Writes  int64 // committed
	Failed  int64 // undone, by their own error or the database's
	Refused int64 // because too many waited
	Commits int64 // transactions, of one write or more
	Waiting int64 // writes that wait now
}

// Tx is what a function sees of the transaction that it is part of. Begin,
// commit and savepoints are not its business.
type Tx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// DB is a database. Any goroutine may use it.
type DB struct {
	source source
	sets   []Migrations
	turn   *turn
	write  *sql.DB // one connection
	read   *sql.DB

	prepared  statements    // on write
	patience  time.Duration // of a writer with other processes
	preparing sync.Mutex
	unready   atomic.Pointer[error] // why it is not prepared; nil: it is

	ended chan struct{} // closed when the writer has ended

	mu     sync.Mutex
	queue  []*job
	most   int
	wake   chan struct{} // holds one: something waits, or the end
	closed bool

	writes, failed, refused, commits atomic.Int64
}

var errUnprepared = fmt.Errorf("%w: it is not prepared yet", ErrUnavailable)

// Open makes the database that source names, "sqlite:FILE", with the tables of
// the given users. It does not touch the file: Prepare does. An error means that
// source or sets make no sense.
func Open(source string, o Options, sets ...Migrations) (*DB, error) {
	src, err := parseSource(source)
	if err != nil {
		return nil, err
	}
	if err := checkSets(sets); err != nil {
		return nil, err
	}
	db := &DB{source: src, sets: sets, most: o.Queue, patience: lockPatience, turn: newTurn(src.file), wake: make(chan struct{}, 1), ended: make(chan struct{})}
	if db.most == 0 {
		db.most = defaultQueue
	}
	db.unready.Store(&errUnprepared)
	if db.write, db.read, err = src.open(); err != nil {
		return nil, err
	}
	db.prepared = statements{db: db.write, known: map[string]*sql.Stmt{}}
	go db.writeAll()
	return db, nil
}

// Name is the source, for people.
func (db *DB) Name() string { return db.source.name }

// Stats tells how it is doing.
func (db *DB) Stats() Stats {
	db.mu.Lock()
	waiting := len(db.queue)
	db.mu.Unlock()
	return Stats{db.writes.Load(), db.failed.Load(), db.refused.Load(), db.commits.Load(), int64(waiting)}
}

// Read runs f, which sees the database as it is at one moment, and cannot
// change it. Its error is f's, or wraps ErrUnavailable.
func (db *DB) Read(ctx context.Context, f func(ctx context.Context, tx Tx) error) error {
	if why := db.unready.Load(); why != nil {
		return *why
	}
	tx, err := db.read.BeginTx(ctx, nil)
	if err != nil {
		return db.wrap(err)
	}
	defer tx.Rollback() // ends the reading
	return db.wrap(f(ctx, tx))
}

// wrap adds the database's name to errors that are not the caller's own.
func (db *DB) wrap(err error) error {
	if u := unavailable(err); errors.Is(u, ErrUnavailable) {
		return fmt.Errorf("%s: %w", db.source.name, u)
	}
	return err
}

// Close refuses further writes, finishes those that wait and closes the files.
func (db *DB) Close() error {
	db.mu.Lock()
	if db.closed {
		db.mu.Unlock()
		<-db.ended
		return nil
	}
	db.closed = true
	db.mu.Unlock()
	db.signal()
	<-db.ended
	return errors.Join(db.read.Close(), db.write.Close(), db.turn.lock.Close())
}
