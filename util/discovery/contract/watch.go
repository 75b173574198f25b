package contract

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"testing"

	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// describe gives an event as text: "+a=1 -b +game#0@dev/ready -game#1@dev".
func describe(ev discovery.Event) string {
	if ev.Reset != nil {
		return "reset"
	}
	var parts []string
	for _, c := range ev.Changes {
		sign, what := "+", c.Key+"="+c.Value
		if c.Deleted {
			sign, what = "-", c.Key
		}
		if c.Service != nil {
			what = c.Service.ID
			if !c.Deleted {
				what += "/" + string(c.Service.State)
			}
		}
		parts = append(parts, sign+what)
	}
	return strings.Join(parts, " ")
}

// follow takes events one by one.
type follow struct {
	t    *testing.T
	next func() (discovery.Event, bool)
	at   uint64
}

func watch(t *testing.T, r discovery.Registry, from uint64) *follow {
	next, stop := iter.Pull(r.Watch(within(t), from))
	t.Cleanup(stop)
	return &follow{t: t, next: next, at: from}
}

func (f *follow) want(texts ...string) {
	f.t.Helper()
	for _, want := range texts {
		ev, ok := f.next()
		if !ok {
			f.t.Fatalf("the watch ended before %q", want)
		}
		if got := describe(ev); got != want {
			f.t.Fatalf("event %d is %q, want %q", ev.Revision, got, want)
		}
		if ev.Revision <= f.at {
			f.t.Fatalf("event %q has revision %d, the one before had %d", want, ev.Revision, f.at)
		}
		f.at = ev.Revision
	}
}

func watchOrder(t *testing.T, open Open) {
	a, b := open(), open()
	rev := apply(t, a, discovery.SetOp("start", ""))
	until(t, b, "the start is seen", func(s *discovery.Snapshot) bool { return s.Revision() >= rev })
	f, own := watch(t, b, rev), watch(t, a, rev)
	apply(t, a, discovery.SetOp("a", "1"))
	apply(t, a, discovery.SetOp("a", "1")) // no change, no event
	apply(t, a, discovery.SetOp("a", "2"), discovery.SetOp("b", "1"), discovery.DeleteOp("nobody"))
	l := enter(t, a, "game", -1)
	if err := l.Update(within(t), func(s *discovery.Service) { s.State = discovery.Draining }); err != nil {
		t.Fatal(err)
	}
	apply(t, a, discovery.DeleteOp("a"), discovery.SetOp("b", "2"))
	if err := l.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	apply(t, a, discovery.ClearOp(""))
	want := []string{"+a=1", "+a=2 +b=1", "+game#0@dev/ready", "+game#0@dev/draining", "-a +b=2", "-game#0@dev", "-b -start"}
	f.want(want...)
	own.want(want...)
	if s := b.Snapshot(); s.Revision() < f.at {
		t.Errorf("snapshot is at revision %d after an event of %d", s.Revision(), f.at)
	}
}

func watchFromRevision(t *testing.T, open Open) {
	r := open()
	revs := make([]uint64, 10)
	for i := range revs {
		revs[i] = apply(t, r, discovery.SetOp("n", fmt.Sprint(i)))
	}
	for from, rev := range revs {
		f := watch(t, r, rev)
		for i := from + 1; i < len(revs); i++ {
			f.want(fmt.Sprint("+n=", i))
			if f.at != revs[i] {
				t.Fatalf("change %d has revision %d in the watch and had %d in the answer", i, f.at, revs[i])
			}
		}
	}
}

func watchReset(t *testing.T, open Open) {
	r := open()
	rev := apply(t, r, discovery.SetOp("a", "1"))
	for _, from := range []uint64{0, rev + 1000} { // nothing heard yet; of another life of the engine
		next, stop := iter.Pull(r.Watch(within(t), from))
		ev, ok := next()
		if !ok || ev.Reset == nil || ev.Revision != ev.Reset.Revision() || ev.Revision < rev {
			t.Fatalf("watch from %d begins with %+v, %v; want the state as it is", from, ev, ok)
		}
		wantValue(t, ev.Reset, "a", "1")
		apply(t, r, discovery.SetOp("b", fmt.Sprint(from)))
		if ev, _ := next(); describe(ev) != fmt.Sprint("+b=", from) {
			t.Fatalf("after the reset came %q", describe(ev))
		}
		stop()
	}
}

func watchEnds(t *testing.T, open Open) {
	r := open()
	until(t, r, "there is a first state", func(s *discovery.Snapshot) bool { return s.Revision() > 0 })
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for range r.Watch(ctx, 0) {
			cancel() // in the middle of the loop; and nothing else will change
		}
	})
	wg.Wait()
	for range r.Watch(ctx, 0) {
		t.Fatal("a watch with a context that is done yields")
	}
	var begun sync.WaitGroup
	begun.Add(1)
	wg.Go(func() {
		for range r.Watch(context.Background(), 0) {
			begun.Done()
		}
	})
	begun.Wait()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
}

func waitLevel(t *testing.T, open Open) {
	r := open()
	rev := apply(t, r, discovery.SetOp("a", "1"))
	for after := range rev { // the change was long ago
		if s, err := r.Wait(within(t), after); err != nil || s.Revision() <= after {
			t.Fatalf("wait for a revision after %d: %v, %v", after, s, err)
		}
		if after > 100 {
			break
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := r.Wait(ctx, r.Snapshot().Revision()+1000); !errors.Is(err, context.Canceled) {
		t.Fatalf("wait with a context that is done: %v", err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := r.Wait(within(t), rev+1000); !errors.Is(err, discovery.ErrClosed) {
			t.Errorf("wait on a registry that is closed: %v; want ErrClosed", err)
		}
	})
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
}

// readersNeverSeeHalfABatch writes two keys in one batch and reads them in every way there is.
func readersNeverSeeHalfABatch(t *testing.T, open Open) {
	const rounds = 100
	writer := open()
	apply(t, writer, discovery.SetOp("x", "0"), discovery.SetOp("y", "0"))
	var wg sync.WaitGroup
	same := func(how string, s *discovery.Snapshot) bool {
		x, _ := s.Value("x")
		y, _ := s.Value("y")
		if x != y {
			t.Errorf("%s at revision %d: x=%s y=%s", how, s.Revision(), x, y)
		}
		return x == y
	}
	for range 2 {
		r := open()
		wg.Go(func() {
			var last uint64
			for s := r.Snapshot(); same("snapshot", s); s = r.Snapshot() {
				if s.Revision() < last {
					t.Errorf("snapshot went back from revision %d to %d", last, s.Revision())
				}
				last = s.Revision()
				if x, _ := s.Value("x"); x == fmt.Sprint(rounds) {
					return
				}
				if _, err := r.Wait(within(t), last); err != nil {
					t.Error(err)
					return
				}
			}
		})
		wg.Go(func() {
			s := new(discovery.Snapshot)
			for ev := range r.Watch(within(t), 0) {
				s = s.Next(ev) // a copy that follows the events must go through the same states
				if x, _ := s.Value("x"); !same("watch", s) || x == fmt.Sprint(rounds) {
					return
				}
			}
			t.Error("the watch ended early")
		})
	}
	for i := range rounds {
		n := fmt.Sprint(i + 1)
		apply(t, writer, discovery.SetOp("x", n), discovery.SetOp("y", n))
	}
	wg.Wait()
}

func snapshotIsImmutable(t *testing.T, open Open) {
	r := open()
	for i := range 100 {
		apply(t, r, discovery.SetOp(fmt.Sprintf("k%03d", i), "old"))
	}
	l := enter(t, r, "game", 0)
	kept := r.Snapshot()
	for i := range 100 {
		apply(t, r, discovery.SetOp(fmt.Sprintf("k%03d", i), "new"), discovery.DeleteOp(fmt.Sprintf("k%03d", (i+50)%100)))
	}
	if err := l.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, v := range kept.Values("k") {
		n++
		if v != "old" {
			t.Fatalf("a kept snapshot has changed: %q", v)
		}
	}
	if _, ok := kept.Service("game#0@dev"); !ok || n != 100 {
		t.Fatalf("a kept snapshot has changed: %d keys, service %v", n, ok)
	}
}

func snapshotReadsAllocateNothing(t *testing.T, open Open) {
	r := open()
	for i := range 100 {
		apply(t, r, discovery.SetOp(fmt.Sprint("config/", i), "x"))
	}
	for range 20 {
		enter(t, r, "game", -1)
	}
	found, allocs := 0, 1.0
	for tries := 0; allocs != 0 && tries < 10; tries++ { // the engine may be at work beside it, but not all the time
		allocs = testing.AllocsPerRun(100, func() { found = read(r) })
	}
	if allocs != 0 || found != 122 {
		t.Fatalf("reading %d services and values of a snapshot allocates %v times", found, allocs)
	}
}

// read reads a snapshot in every way.
func read(r discovery.Registry) (found int) {
	s := r.Snapshot()
	if _, ok := s.Value("config/50"); ok {
		found++
	}
	if _, ok := s.Service("game#10@dev"); ok {
		found++
	}
	for range s.Services("game") {
		found++
	}
	for range s.Values("config/") {
		found++
	}
	return found
}
