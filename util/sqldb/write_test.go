package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Many write at once: all of it is there, in fewer commits; who fails has
// changed nothing, and others have.
func TestWritesShareCommits(t *testing.T) {
	db := prepared(t, temp(t), Options{})
	mine := errors.New("mine")
	const writers, rounds = 50, 20
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			name := fmt.Sprint("w", i%10)
			for range rounds {
				if err := db.Write(t.Context(), count(name)); err != nil {
					t.Error(err)
				}
				err := db.Write(t.Context(), func(ctx context.Context, tx Tx) error {
					if err := count(name)(ctx, tx); err != nil {
						return err
					}
					return mine
				})
				if err != mine {
					t.Errorf("%v, want the function's own error", err)
				}
				err = db.Write(t.Context(), func(ctx context.Context, tx Tx) error {
					if err := count(name)(ctx, tx); err != nil {
						return err
					}
					_, err := tx.ExecContext(ctx, "INSERT INTO counters (name, n) VALUES ($1, NULL)", name)
					return err
				})
				if err == nil || errors.Is(err, ErrUnavailable) {
					t.Errorf("%v, want a constraint's error", err)
				}
			}
		})
	}
	wg.Wait()
	for i := range 10 {
		if n := counted(t, db, fmt.Sprint("w", i)); n != writers/10*rounds {
			t.Errorf("w%d is %d, want %d", i, n, writers/10*rounds)
		}
	}
	s := db.Stats()
	if s.Writes != writers*rounds || s.Failed != 2*writers*rounds || s.Waiting != 0 || s.Refused != 0 {
		t.Errorf("%+v", s)
	}
	if s.Commits > s.Writes/2 {
		t.Errorf("%d writes took %d commits", s.Writes, s.Commits)
	}
}

// When one of a batch fails, or panics, the others are made again: there once,
// in the same commit.
func TestFailureInBatch(t *testing.T) {
	db := prepared(t, temp(t), Options{})
	mine := errors.New("mine")
	release := block(db)
	var wg sync.WaitGroup
	var ran atomic.Int64
	write := func(name string, end func() error) {
		waiting := db.Stats().Waiting
		wg.Go(func() {
			defer func() {
				if v := recover(); (v != nil) != (name == "panics") {
					t.Errorf("%s: %v", name, v)
				}
			}()
			err := db.Write(t.Context(), func(ctx context.Context, tx Tx) error {
				ran.Add(1)
				if err := count(name)(ctx, tx); err != nil {
					return err
				}
				return end()
			})
			if (err == nil) != (name == "good") || err != nil && err != mine {
				t.Errorf("%s: %v", name, err)
			}
		})
		eventually(t, name+" waits", func() bool { return db.Stats().Waiting > waiting })
	}
	good := func() error { return nil }
	write("good", good)
	write("fails", func() error { return mine })
	write("panics", func() error { panic("oops") })
	write("good", good)
	release()
	wg.Wait()
	if g, f, p := counted(t, db, "good"), counted(t, db, "fails"), counted(t, db, "panics"); g != 2 || f != 0 || p != 0 {
		t.Errorf("good is %d, fails %d, panics %d", g, f, p)
	}
	if s := db.Stats(); s.Commits != 2 || s.Writes != 3 || s.Failed != 2 {
		t.Errorf("%+v", s)
	}
	if n := ran.Load(); n != 2+4 {
		t.Errorf("%d calls, want two until one has failed, and four in all the second time", n)
	}
}

// A panic is its caller's alone.
func TestPanic(t *testing.T) {
	db := prepared(t, temp(t), Options{})
	func() {
		defer func() {
			if v := fmt.Sprint(recover()); !strings.Contains(v, "oops") || !strings.Contains(v, "TestPanic") {
				t.Errorf("recovered %s", v)
			}
		}()
		db.Write(t.Context(), func(ctx context.Context, tx Tx) error {
			count("a")(ctx, tx)
			panic("oops")
		})
	}()
	if n := counted(t, db, "a"); n != 0 {
		t.Errorf("a is %d", n)
	}
	if err := db.Write(t.Context(), count("a")); err != nil {
		t.Error(err)
	}
}

// What waits is bounded, may be withdrawn, and is finished by Close.
func TestQueue(t *testing.T) {
	db := prepared(t, temp(t), Options{Queue: 2})
	release := block(db)
	ctx, cancel := context.WithCancel(t.Context())
	withdrawn := make(chan error)
	go func() { withdrawn <- db.Write(ctx, count("withdrawn")) }()
	stays := make(chan error)
	go func() { stays <- db.Write(t.Context(), count("stays")) }()
	eventually(t, "two wait", func() bool { return db.Stats().Waiting == 2 })
	if err := db.Write(t.Context(), count("a")); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "too many") {
		t.Errorf("a third: %v", err)
	}
	cancel()
	if err := <-withdrawn; !errors.Is(err, context.Canceled) {
		t.Errorf("withdrawn: %v", err)
	}
	closed := make(chan error)
	go func() { closed <- db.Close() }()
	eventually(t, "it is closed for new writes", func() bool { _, _, ever := db.waiting(); return !ever })
	if err := db.Write(t.Context(), count("a")); !errors.Is(err, ErrUnavailable) {
		t.Errorf("after Close: %v", err)
	}
	release()
	if err := <-stays; err != nil {
		t.Errorf("what waited: %v", err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	again := prepared(t, db.source.file, Options{})
	if n := counted(t, again, "stays"); n != 1 {
		t.Errorf("stays is %d", n)
	}
	if n := counted(t, again, "withdrawn"); n != 0 {
		t.Errorf("withdrawn is %d", n)
	}
}

// A canceled context does not undo the writes of others in the same commit.
func TestCancelInside(t *testing.T) {
	db := prepared(t, temp(t), Options{})
	release := block(db)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := db.Write(t.Context(), count("before")); err != nil {
			t.Error(err)
		}
	})
	eventually(t, "one waits", func() bool { return db.Stats().Waiting == 1 })
	ctx, cancel := context.WithCancel(t.Context())
	wg.Go(func() {
		err := db.Write(ctx, func(ctx context.Context, tx Tx) error {
			cancel()
			return count("inside")(ctx, tx)
		})
		if err != nil {
			t.Error(err)
		}
	})
	release()
	wg.Wait()
	if b, i := counted(t, db, "before"), counted(t, db, "inside"); b != 1 || i != 1 {
		t.Errorf("before is %d, inside %d", b, i)
	}
}

// A file that another holds locked makes writes wait, then fail in words;
// reading goes on.
func TestLocked(t *testing.T) {
	file := temp(t)
	db, other := prepared(t, file, Options{}), prepared(t, file, Options{})
	db.patience = 50 * time.Millisecond
	release := block(other)
	err := db.Write(t.Context(), count("a"))
	if !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrInDoubt) || !strings.Contains(err.Error(), "another process") {
		t.Errorf("locked: %v", err)
	}
	if n := counted(t, db, "a"); n != 0 {
		t.Errorf("a is %d", n)
	}
	db.patience = lockPatience
	wrote := make(chan error)
	go func() { wrote <- db.Write(t.Context(), count("a")) }()
	release()
	if err := <-wrote; err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// A full disk is told, harms nothing, and is over when there is room.
func TestFull(t *testing.T) {
	db := prepared(t, temp(t), Options{})
	testFull(t, db, "disk is full", func(full bool) {
		pages := 1 << 30
		if full {
			pages = 50
		}
		if _, err := db.write.Exec(fmt.Sprintf("PRAGMA max_page_count = %d", pages)); err != nil {
			t.Fatal(err)
		}
	})
}

func testFull(t *testing.T, db *DB, reason string, fill func(full bool)) {
	if err := db.Write(t.Context(), count("a")); err != nil {
		t.Fatal(err)
	}
	fill(true)
	var err error
	for i := 0; err == nil; i++ {
		if i == 1000 {
			t.Fatal("the disk does not become full")
		}
		err = db.Write(t.Context(), func(ctx context.Context, tx Tx) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO counters (name, n) VALUES ($1, 1)", fmt.Sprintf("%d%s", i, strings.Repeat("x", 20_000)))
			return err
		})
	}
	if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), reason) {
		t.Errorf("full: %v", err)
	}
	if n := counted(t, db, "a"); n != 1 {
		t.Errorf("a is %d", n)
	}
	fill(false)
	if err := db.Write(t.Context(), count("a")); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

// Readers see one moment and cannot write.
func TestRead(t *testing.T) {
	db := prepared(t, temp(t), Options{})
	err := db.Read(t.Context(), func(ctx context.Context, tx Tx) error {
		n := func() (n int) {
			if err := tx.QueryRowContext(ctx, "SELECT coalesce(sum(n), 0) FROM counters").Scan(&n); err != nil {
				t.Error(err)
			}
			return n
		}
		before := n()
		if err := db.Write(ctx, count("a")); err != nil {
			t.Error(err)
		}
		if after := n(); after != before {
			t.Errorf("%d became %d", before, after)
		}
		if err := count("b")(ctx, tx); err == nil {
			t.Error("a reader has written")
		}
		return sql.ErrNoRows
	})
	if err != sql.ErrNoRows {
		t.Error(err)
	}
}

func BenchmarkWrite(b *testing.B) {
	bench := func(name string, write func(*DB, context.Context, func(context.Context, Tx) error) error) {
		b.Run(name, func(b *testing.B) {
			const writers = 200
			db := prepared(b, temp(b), Options{})
			took := make([]time.Duration, b.N)
			next := make(chan int, b.N)
			for i := range b.N {
				next <- i
			}
			close(next)
			var wg sync.WaitGroup
			b.ResetTimer()
			for w := range writers {
				wg.Go(func() {
					f := count(fmt.Sprint("player", w))
					for i := range next {
						began := time.Now()
						if err := write(db, b.Context(), f); err != nil {
							b.Error(err)
							return
						}
						took[i] = time.Since(began)
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
			b.ReportMetric(float64(percentile(took, 99).Microseconds())/1000, "p99-ms")
			if c := db.Stats().Commits; c > 0 {
				b.ReportMetric(float64(b.N)/float64(c), "writes/commit")
			}
		})
	}
	bench("grouped", (*DB).Write)
	// Each write in a transaction of its own, one after the other: faster than
	// connections that fight for the lock.
	bench("ungrouped", func(db *DB, ctx context.Context, f func(context.Context, Tx) error) error {
		tx, err := db.write.BeginTx(ctx, nil) // one connection: the writers queue in database/sql
		if err != nil {
			return err
		}
		if err := f(ctx, tx); err != nil {
			tx.Rollback()
			return err
		}
		return tx.Commit()
	})
}
