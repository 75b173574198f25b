package sqldb

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"errors"
)

func prepareChild(db *DB) error {
	if err := db.Prepare(context.Background()); err != nil {
		return err
	}
	if err := db.Write(context.Background(), count("started")); err != nil {
		return err
	}
	return db.Close()
}

// Several processes that start at once on no file at all make it together.
func TestPrepareByProcesses(t *testing.T) {
	file := temp(t)
	const n = 6
	var all []*exec.Cmd
	for range n {
		cmd := child("prepare", file)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		all = append(all, cmd)
	}
	for _, cmd := range all {
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
	if got := counted(t, prepared(t, file, Options{}), "started"); got != n {
		t.Errorf("%d have started, want %d", got, n)
	}
}

// writers is how many goroutines of a writeChild write.
const writers = 20

// writeChild writes with many goroutines until it is killed, and says what has
// been acknowledged: one line "writer number" each.
func writeChild(db *DB) error {
	if err := db.Prepare(context.Background()); err != nil {
		return err
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			name := fmt.Sprintf("%d-%d", rand.Uint64(), w)
			for i := 1; db.Write(context.Background(), count(name)) == nil; i++ {
				mu.Lock()
				fmt.Println(name, i)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return errors.New("writing failed")
}

// writer is a running writeChild, and what it has acknowledged.
type writer struct {
	cmd   *exec.Cmd
	acked map[string]int
	lines chan struct{} // one for each line, lossy
	ended chan struct{}
}

func startWriter(t *testing.T, file string) *writer {
	w := &writer{cmd: child("write", file), acked: map[string]int{}, lines: make(chan struct{}, 1), ended: make(chan struct{})}
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(w.ended)
		for in := bufio.NewReader(out); ; {
			line, err := in.ReadString('\n')
			if err == io.EOF || !strings.HasSuffix(line, "\n") {
				return
			}
			var name string
			var n int
			if _, err := fmt.Sscan(line, &name, &n); err != nil {
				t.Error(err)
			}
			w.acked[name] = n
			select {
			case w.lines <- struct{}{}:
			default:
			}
		}
	}()
	return w
}

// kill kills the process like kill -9 and returns when all it said is read.
func (w *writer) kill() {
	w.cmd.Process.Kill()
	<-w.ended
	w.cmd.Wait()
}

// Whatever was acknowledged before kill -9 is there; two processes write, one
// is killed and started again, the other goes on.
func TestKill(t *testing.T) {
	file := temp(t)
	rounds := 8
	if testing.Short() {
		rounds = 2
	}
	steady := startWriter(t, file)
	defer steady.kill()
	db := prepared(t, file, Options{})
	for range rounds {
		w := startWriter(t, file)
		<-w.lines
		time.Sleep(rand.N(50 * time.Millisecond)) // the moment must be any
		w.kill()
		total := 0
		for name, n := range w.acked {
			if got := counted(t, db, name); got < n || got > n+1 {
				t.Errorf("%d acknowledged, %d there", n, got)
			}
			total += n
		}
		if total == 0 {
			t.Error("nothing was written")
		}
		<-steady.lines
	}
	steady.kill()
	for name, n := range steady.acked {
		if got := counted(t, db, name); got < n || got > n+1 {
			t.Errorf("%d acknowledged, %d there", n, got)
		}
	}
	var ok string
	err := db.Read(t.Context(), func(ctx context.Context, tx Tx) error {
		return tx.QueryRowContext(ctx, "PRAGMA integrity_check").Scan(&ok)
	})
	if err != nil || ok != "ok" {
		t.Errorf("integrity: %s, %v", ok, err)
	}
}

// A process that writes without a pause does not starve another: of its
// transactions few come first, however long one takes.
func TestTurns(t *testing.T) {
	file := temp(t)
	busy := startWriter(t, file)
	defer busy.kill()
	db := prepared(t, file, Options{})
	<-busy.lines
	total := func() (n int) {
		t.Helper()
		err := db.Read(t.Context(), func(ctx context.Context, tx Tx) error {
			return tx.QueryRowContext(ctx, "SELECT sum(n) FROM counters WHERE name <> 'me'").Scan(&n)
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	var first []int // writes of the busy one that came before one of ours
	for range 100 {
		before := total()
		if err := db.Write(t.Context(), count("me")); err != nil {
			t.Fatal(err)
		}
		first = append(first, total()-before)
	}
	slices.Sort(first)
	median := first[len(first)/2]
	t.Logf("beside a busy process %d of its writes come before one of ours, at most %d", median, first[len(first)-1])
	if median > 5*writers {
		t.Errorf("beside a busy process %d of its writes come before one of ours, %d at a time", median, writers)
	}
}

// A database that a newer program has changed is refused in words.
func TestNewer(t *testing.T) {
	file := temp(t)
	prepared(t, file, Options{})
	old := open(t, file, Options{}, Migrations{Name: "counters", Files: fstest.MapFS{"00001_counters.sql": counters.Files.(fstest.MapFS)["00001_counters.sql"]}})
	err := old.Prepare(t.Context())
	if !errors.Is(err, ErrNewer) || errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "version 2, known here is 1") {
		t.Error(err)
	}
	if err := old.Write(t.Context(), count("a")); !errors.Is(err, ErrNewer) {
		t.Errorf("write: %v", err)
	}
	if err := old.Read(t.Context(), nil); !errors.Is(err, ErrNewer) {
		t.Errorf("read: %v", err)
	}
}

// Users of one file do not meddle with each other's versions.
func TestTwoSets(t *testing.T) {
	file := temp(t)
	prepared(t, file, Options{})
	both := open(t, file, Options{}, counters, Migrations{Name: "things", Files: fstest.MapFS{"00001_things.sql": {Data: []byte("-- +goose Up\nCREATE TABLE things (id BIGINT);\n")}}})
	if err := both.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := both.Write(t.Context(), func(ctx context.Context, tx Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO things (id) VALUES (1)")
		return errors.Join(err, count("a")(ctx, tx))
	})
	if err != nil {
		t.Error(err)
	}
}

// What cannot be opened says what to do, and may be tried again.
func TestUnprepared(t *testing.T) {
	missing := open(t, t.TempDir()+"/no/such/folder.db", Options{})
	if err := missing.Write(t.Context(), count("a")); !errors.Is(err, ErrUnavailable) {
		t.Errorf("before Prepare: %v", err)
	}
	if err := missing.Prepare(t.Context()); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "no/such") {
		t.Errorf("no folder: %v", err)
	}
	for source, want := range map[string]string{
		"": "like sqlite:game.db", "game.db": "like sqlite:game.db", "sqlite:": "name of a file", "postgres://u:secret@host/db": `kind "postgres"`,
	} {
		if _, err := Open(source, Options{}); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", source, err)
		}
	}
	for _, sets := range [][]Migrations{{{Name: "A", Files: counters.Files}}, {counters, counters}, {{Name: "a"}}} {
		if _, err := Open("sqlite:x", Options{}, sets...); err == nil {
			t.Errorf("%v is accepted", sets)
		}
	}
}
