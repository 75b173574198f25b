package store

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/davyxu/cellmesh_demo/util/sqldb"
)

// What was said is in the history at once, here, and soon for other processes;
// at the end everything is written.
func TestRecorder(t *testing.T) {
	file := temp(t)
	s, other := open(t, file), open(t, file)
	r := NewRecorder(s, func() int { return 5 }, quiet)
	for id := 1; id <= 100; id++ {
		r.Said(line(id, "lobby"))
	}
	r.Said(line(50, ""))
	look := func(where string, history func(context.Context, string, uint64, int) ([]Line, error)) bool {
		for _, c := range []struct {
			room   string
			before uint64
			want   string
		}{{"lobby", 0, "96 97 98 99 100"}, {"lobby", 99, "97 98"}, {"", 0, "50"}} {
			limit := 5
			if c.before != 0 {
				limit = 2
			}
			if got := ids(must(history(t.Context(), c.room, c.before, limit))(t)); got != c.want {
				t.Logf("%s: %+v: %q", where, c, got)
				return false
			}
		}
		return true
	}
	if !look("before it runs", r.History) {
		t.Error("what waits is not known")
	}
	stop := run(t, r)
	eventually(t, "it is written", func() bool { return r.Waiting() == 0 && r.Written() > 0 })
	if !look("written", r.History) || !look("written", other.History) {
		t.Error("it is not there")
	}
	if r.Written() != 6 || r.Dropped() != 0 {
		t.Errorf("%d written, %d dropped: others than those that are kept", r.Written(), r.Dropped())
	}
	r.Said(line(101, "lobby"))
	stop()
	if got := ids(must(other.History(t.Context(), "lobby", 0, 1))(t)); got != "101" {
		t.Errorf("the last line is %q", got)
	}
}

// While the database is away lines wait, as many as may; then they are written.
func TestRecorderAway(t *testing.T) {
	db, err := sqldb.Open("sqlite:"+temp(t), sqldb.Options{}, Tables())
	check(t, err)
	t.Cleanup(func() { db.Close() })
	var log lines
	r := NewRecorder(New(db), func() int { return 3 }, log.logger())
	r.every = time.Millisecond
	stop := run(t, r)
	for id := 1; id <= 4; id++ {
		r.Said(line(id, "lobby"))
	}
	eventually(t, "it says that it waits", func() bool { return strings.Contains(log.text(), "waits for the database") })
	r.Said(line(5, "lobby"))
	got, err := r.History(t.Context(), "lobby", 0, 3)
	if ids(got) != "3 4 5" || err == nil {
		t.Errorf("%q %v", ids(got), err)
	}
	check(t, db.Prepare(t.Context()))
	eventually(t, "it is written", func() bool { return r.Waiting() == 0 })
	stop()
	if got := ids(must(r.store.History(t.Context(), "lobby", 0, 9))(t)); got != "3 4 5" {
		t.Errorf("%q", got)
	}
	if n := strings.Count(log.text(), "\n"); n != 1 {
		t.Errorf("it logs %d lines:\n%s", n, log.text())
	}
}

// More lines than may wait are dropped and counted, and nobody waits for it.
func TestRecorderFull(t *testing.T) {
	r := NewRecorder(nil, func() int { return 1 }, quiet)
	for i := range maxLines + 10 {
		r.Said(line(i, fmt.Sprint("room", i)))
	}
	if r.Waiting() != maxLines || r.Dropped() != 10 {
		t.Errorf("%d wait, %d dropped", r.Waiting(), r.Dropped())
	}
}

// Many say and read at once.
func TestRecorderRace(t *testing.T) {
	s := open(t, temp(t))
	r := NewRecorder(s, func() int { return 50 }, quiet)
	r.every = time.Millisecond
	stop := run(t, r)
	var all sync.WaitGroup
	for w := range 4 {
		room := fmt.Sprint("room", w)
		all.Go(func() {
			for id := 1; id <= 500; id++ {
				r.Said(line(id, room))
				if id%50 == 0 {
					got, err := r.History(t.Context(), room, 0, 50)
					if err != nil || len(got) != 50 || got[49].ID != uint64(id) || got[0].ID != uint64(id-49) {
						t.Errorf("after %d: %q %v", id, ids(got), err)
					}
				}
			}
		})
	}
	all.Wait()
	stop()
	for w := range 4 {
		if got := must(s.History(t.Context(), fmt.Sprint("room", w), 0, 100))(t); len(got) != 50 || got[49].ID != 500 {
			t.Errorf("room %d: %q", w, ids(got))
		}
	}
}

func BenchmarkSaid(b *testing.B) {
	r := NewRecorder(open(b, temp(b)), func() int { return 200 }, quiet)
	run(b, r)
	l := line(1, "")
	b.ReportAllocs()
	for b.Loop() {
		l.ID++
		r.Said(l)
	}
}

// BenchmarkRecord is what a batch of 32 lines of a busy room costs.
func BenchmarkRecord(b *testing.B) {
	s := open(b, temp(b))
	id := 0
	batch := func() (batch []Line) {
		for range 32 {
			id++
			batch = append(batch, line(id, ""))
		}
		return batch
	}
	for range 20 {
		check(b, s.Record(b.Context(), batch(), 200))
	}
	b.ReportAllocs()
	for b.Loop() {
		check(b, s.Record(b.Context(), batch(), 200))
	}
}
