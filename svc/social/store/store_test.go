package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/davyxu/cellmesh_demo/util/sqldb"
)

// Of each room the newest lines are kept, and found again by another process, in
// pages.
func TestHistory(t *testing.T) {
	file := temp(t)
	s, other := open(t, file), open(t, file)
	for i := range 10 { // in batches of two
		check(t, s.Record(t.Context(), []Line{line(2*i+1, "lobby"), line(2*i+2, "lobby")}, 6))
	}
	check(t, other.Record(t.Context(), []Line{line(5, ""), line(20, "lobby"), line(17, "lobby")}, 6)) // two are there
	for _, c := range []struct {
		room   string
		before uint64
		limit  int
		want   string
	}{
		{"lobby", 0, 100, "15 16 17 18 19 20"},
		{"lobby", 0, 2, "19 20"},
		{"lobby", 19, 2, "17 18"},
		{"lobby", 15, 2, ""},
		{"lobby", 1<<64 - 1, 1, "20"},
		{"", 0, 100, "5"},
		{"elsewhere", 0, 100, ""},
	} {
		if got := ids(must(other.History(t.Context(), c.room, c.before, c.limit))(t)); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
	if got := must(s.History(t.Context(), "lobby", 0, 1))(t)[0]; got != line(20, "lobby") {
		t.Errorf("%+v", got)
	}
}

func TestTopic(t *testing.T) {
	file := temp(t)
	s, other := open(t, file), open(t, file)
	for _, topic := range []string{"", "tea", "coffee", ""} {
		check(t, s.SetTopic(t.Context(), "lobby", topic, noon))
		if got := must(other.Topic(t.Context(), "lobby"))(t); got != topic {
			t.Errorf("%q, want %q", got, topic)
		}
	}
}

// Private lines wait in order, as many as may, and are handed over once.
func TestInbox(t *testing.T) {
	file := temp(t)
	s, other := open(t, file), open(t, file)
	for _, id := range []int{3, 1, 2, 1} { // one is kept again
		check(t, s.Keep(t.Context(), "bob", line(id, ""), 3))
	}
	if err := s.Keep(t.Context(), "bob", line(4, ""), 3); !errors.Is(err, ErrFull) {
		t.Error(err)
	}
	check(t, s.Keep(t.Context(), "bob", line(3, ""), 3))
	check(t, s.Keep(t.Context(), "carol", line(9, ""), 3))

	waiting := func(uid string, now, want time.Time, waits bool) {
		t.Helper()
		at, w, err := other.Waiting(t.Context(), uid, now)
		if err != nil || w != waits || !at.Equal(want) {
			t.Errorf("%s: %v %v %v, want %v %v", uid, at, w, err, want, waits)
		}
	}
	later := noon.Add(10 * time.Second)
	claim := func(s *Store, id string, now time.Time, want string) []Line {
		t.Helper()
		lines := must(s.Claim(t.Context(), "bob", id, now, now.Add(10*time.Second)))(t)
		if got := ids(lines); got != want {
			t.Errorf("%s claims %q, want %q", id, got, want)
		}
		return lines
	}
	waiting("bob", noon, time.Time{}, true)
	waiting("nobody", noon, time.Time{}, false)
	if got := claim(s, "first", noon, "1 2 3")[0]; got != line(1, "") {
		t.Errorf("%+v", got)
	}
	check(t, other.Keep(t.Context(), "bob", line(7, ""), 9)) // must not come before the others
	claim(other, "second", noon, "")
	waiting("bob", noon, later, true)
	check(t, s.Delivered(t.Context(), "bob", "first", 2))
	check(t, other.Delivered(t.Context(), "bob", "second", 3)) // it has none
	check(t, other.Unclaim(t.Context(), "bob", "second"))
	claim(other, "third", noon, "")
	claim(other, "fourth", later, "3 7") // the first one has died
	check(t, s.Delivered(t.Context(), "bob", "first", 3))
	claim(s, "fifth", later, "")
	check(t, other.Unclaim(t.Context(), "bob", "fourth"))
	claim(s, "sixth", later, "3 7")
	check(t, s.Delivered(t.Context(), "bob", "sixth", 7))
	waiting("bob", later, time.Time{}, false)
	waiting("carol", later, time.Time{}, true)
}

// Many processes claim at once: each line is handed over by one.
func TestClaimRace(t *testing.T) {
	file := temp(t)
	const lines, claimers = 60, 4
	var stores []*Store
	for range claimers {
		stores = append(stores, open(t, file))
	}
	got := map[uint64]int{}
	var mu sync.Mutex
	var all sync.WaitGroup
	all.Go(func() {
		for id := range lines {
			if err := stores[0].Keep(t.Context(), "bob", line(id+1, ""), lines); err != nil {
				t.Error(err)
			}
		}
	})
	for i, s := range stores {
		all.Go(func() {
			for n := 0; ; n++ {
				mu.Lock()
				enough := len(got) == lines
				mu.Unlock()
				if enough || t.Context().Err() != nil {
					return
				}
				claim, now := fmt.Sprint(i, " ", n), time.Now()
				mine, err := s.Claim(t.Context(), "bob", claim, now, now.Add(time.Minute))
				if err != nil {
					t.Error(err)
					return
				}
				if n%3 == 2 {
					if err := s.Unclaim(t.Context(), "bob", claim); err != nil {
						t.Error(err)
					}
					continue
				}
				mu.Lock()
				for _, l := range mine {
					got[l.ID]++
				}
				mu.Unlock()
				if len(mine) > 0 {
					if err := s.Delivered(t.Context(), "bob", claim, mine[len(mine)-1].ID); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
	for id, n := range got {
		if n != 1 {
			t.Errorf("line %d was handed over %d times", id, n)
		}
	}
	if len(got) != lines {
		t.Errorf("%d lines of %d were handed over: %v", len(got), lines, sortedIDs(got))
	}
}

func TestSweep(t *testing.T) {
	s := open(t, temp(t))
	check(t, s.Record(t.Context(), []Line{line(1, "old"), line(1, "lobby"), line(5, "lobby")}, 10))
	for _, room := range []string{"old", "lobby"} {
		check(t, s.SetTopic(t.Context(), room, "topic", noon))
	}
	for _, id := range []int{1, 5} {
		check(t, s.Keep(t.Context(), "bob", line(id, ""), 10))
	}
	check(t, s.Sweep(t.Context(), noon.Add(5*time.Second)))
	for room, want := range map[string]string{"old": "", "lobby": "5"} {
		topic := must(s.Topic(t.Context(), room))(t)
		if got := ids(must(s.History(t.Context(), room, 0, 10))(t)); got != want || (topic == "") != (want == "") {
			t.Errorf("%s: %q, topic %q", room, got, topic)
		}
	}
	if got := ids(must(s.Claim(t.Context(), "bob", "x", noon, noon))(t)); got != "5" {
		t.Errorf("waits: %q", got)
	}
}

// keepForEver is a process that tells the ID of each private line that it has
// kept.
func keepForEver(file string) error {
	db, err := sqldb.Open("sqlite:"+file, sqldb.Options{}, Tables())
	if err != nil {
		return err
	}
	ctx := context.Background()
	if err := db.Prepare(ctx); err != nil {
		return err
	}
	s := New(db)
	r := NewRecorder(s, func() int { return 10 }, quiet)
	r.every = time.Millisecond
	go r.Run(ctx)
	for id := 1; ; id++ {
		r.Said(line(id, "lobby"))
		if err := s.Keep(ctx, "bob", line(id, ""), 1<<30); err != nil {
			return err
		}
		fmt.Println(id)
	}
}

// A process is killed: what it has acknowledged is there, each line once, and the
// history is whole.
func TestKill(t *testing.T) {
	file := temp(t)
	cmd := child(file)
	out := must(cmd.StdoutPipe())(t)
	check(t, cmd.Start())
	kept := 0
	for in := bufio.NewScanner(out); in.Scan(); {
		kept = must(strconv.Atoi(in.Text()))(t)
		if kept == 100 {
			cmd.Process.Kill()
		}
	}
	cmd.Wait()
	if kept < 100 {
		t.Fatalf("it ended after %d lines", kept)
	}
	s := open(t, file)
	lines := must(s.Claim(t.Context(), "bob", "x", noon, noon))(t)
	if len(lines) != kept && len(lines) != kept+1 { // one was not told any more
		t.Errorf("%d lines wait, %d were acknowledged", len(lines), kept)
	}
	for i, l := range lines {
		if l != line(i+1, "") {
			t.Fatalf("line %d is %+v", i+1, l)
		}
	}
	history := must(s.History(t.Context(), "lobby", 0, 100))(t)
	if len(history) != 10 {
		t.Fatalf("the history is %q", ids(history))
	}
	for i, l := range history {
		if l != line(int(history[0].ID)+i, "lobby") {
			t.Errorf("the history is %q", ids(history))
		}
	}
}
