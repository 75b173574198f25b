package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestIDs(t *testing.T) {
	for _, id := range []string{"game#0@dev", "a.b-c_d#1048575@X"} {
		name, index, group, err := ParseID(id)
		if err != nil || FormatID(name, index, group) != id {
			t.Errorf("%s became %s %d %s, %v", id, name, index, group, err)
		}
	}
	for _, id := range []string{"", "game", "game#0", "game@dev", "#0@dev", "game#@dev", "game#0@", "game#-1@dev", "game#01@dev", "game#+1@dev",
		"game#1048576@dev", "game#0@dev@dev", "ga me#0@dev", "game#0#0@dev", "game#99999999999999999999@dev", strings.Repeat("g", 65) + "#0@dev"} {
		if _, _, _, err := ParseID(id); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func FuzzParseID(f *testing.F) {
	f.Add("game#0@dev")
	f.Add("game#00@dev")
	f.Fuzz(func(t *testing.T, id string) {
		if name, index, group, err := ParseID(id); err == nil && FormatID(name, index, group) != id {
			t.Fatalf("%q is taken for %q", id, FormatID(name, index, group))
		}
	})
}

// TestAgainstModel does thousands of random operations, on a Store and on plain maps.
func TestAgainstModel(t *testing.T) {
	type reg struct {
		owner string
		epoch uint64
	}
	r := rand.New(rand.NewPCG(7, 7))
	s := New(nil)
	values, services := map[string]string{}, map[string]reg{}
	follower := s.Snapshot() // a state that follows the events
	revision := s.Snapshot().Revision()
	highest := uint64(0) // epoch
	for step := range 20000 {
		var ev Event
		var err error
		switch r.IntN(5) {
		case 0, 1:
			next := maps.Clone(values)
			var ops []Op
			holds := true
			for range 1 + r.IntN(4) {
				key := fmt.Sprint("k", r.IntN(30))
				old, had := values[key]
				var op Op
				switch r.IntN(9) {
				case 0:
					op = CheckOp(key)
				case 1, 2:
					op = DeleteOp(key)
					delete(next, key)
				case 3:
					op = ClearOp(key)
					maps.DeleteFunc(next, func(k, _ string) bool { return strings.HasPrefix(k, key) })
				default:
					v := fmt.Sprint(r.IntN(3))
					op = SetOp(key, v)
					next[key] = v
				}
				if op.Kind != KindClear {
					switch r.IntN(8) {
					case 0:
						op = op.IfAbsent()
						holds = holds && !had
					case 1:
						op = op.IfValue("1")
						holds = holds && had && old == "1"
					}
				}
				ops = append(ops, op)
			}
			ev, err = s.Apply(ops)
			if holds != (err == nil) || err != nil && !errors.Is(err, ErrConflict) {
				t.Fatalf("step %d: %v: conditions hold: %v, got %v", step, ops, holds, err)
			}
			if err == nil {
				if changed := !maps.Equal(values, next); changed != (ev.Revision == revision+1) {
					t.Fatalf("step %d: %v: changed: %v, revision %d after %d", step, ops, changed, ev.Revision, revision)
				}
				values = next
			}
		case 2:
			owner := fmt.Sprint("o", r.IntN(1000))
			svc := Service{Name: "game", Group: "dev", Index: r.IntN(6) - 2, State: Ready}
			svc, ev, err = s.Register(owner, svc)
			if err != nil {
				t.Fatal(err)
			}
			if had, ok := services[svc.ID]; ok && had.owner == owner {
				if svc.Epoch != had.epoch {
					t.Fatalf("step %d: asking again changed the epoch from %d to %d", step, had.epoch, svc.Epoch)
				}
			} else if svc.Epoch <= highest {
				t.Fatalf("step %d: epoch %d was given after %d", step, svc.Epoch, highest)
			}
			highest = max(highest, svc.Epoch)
			services[svc.ID] = reg{owner, svc.Epoch}
		case 3: // somebody changes something, or comes back
			id := FormatID("game", r.IntN(6), "dev")
			owner, epoch := fmt.Sprint("o", r.IntN(1000)), uint64(r.IntN(int(highest)+1))
			had, ok := services[id]
			if ok && (owner == had.owner || r.IntN(2) == 0) {
				owner, epoch = had.owner, had.epoch
			}
			if epoch == 0 {
				continue
			}
			_, index, _, _ := ParseID(id)
			var svc Service
			svc, ev, err = s.Register(owner, Service{Name: "game", Group: "dev", Index: index, State: Draining, Epoch: epoch, Addr: fmt.Sprint(r.IntN(5))})
			switch {
			case ok && owner != had.owner && epoch < had.epoch:
				if !errors.Is(err, ErrReplaced) {
					t.Fatalf("step %d: %s with epoch %d came back to %+v: %v", step, owner, epoch, had, err)
				}
			case err != nil || svc.Epoch != epoch:
				t.Fatalf("step %d: %s with epoch %d, had %+v: %+v, %v", step, owner, epoch, had, svc, err)
			default:
				services[id] = reg{owner, epoch}
			}
		case 4:
			id := FormatID("game", r.IntN(6), "dev")
			owner := fmt.Sprint("o", r.IntN(1000))
			if had, ok := services[id]; ok && r.IntN(2) == 0 {
				owner = had.owner
			}
			ev = s.Leave(owner, id)
			if services[id].owner == owner {
				delete(services, id)
			}
		}
		if err == nil {
			if ev.Revision < revision || len(ev.Changes) > 0 && ev.Revision <= revision || ev.Revision != s.Snapshot().Revision() {
				t.Fatalf("step %d: event %d after revision %d, the state is at %d", step, ev.Revision, revision, s.Snapshot().Revision())
			}
			if len(ev.Changes) > 0 {
				follower = follower.Next(ev)
			}
		}
		if rev := s.Snapshot().Revision(); rev < revision {
			t.Fatalf("step %d: revision went from %d to %d", step, revision, rev)
		}
		revision = s.Snapshot().Revision()
		if step%50 == 0 {
			for _, snap := range []*Snapshot{s.Snapshot(), follower} {
				check(t, step, snap, values, slices.Collect(maps.Keys(services)))
			}
			free := 0
			for ; services[FormatID("game", free, "dev")].owner != ""; free++ {
			}
			if got := s.FreeIndex("game", "dev"); got != free {
				t.Fatalf("step %d: free index %d, want %d", step, got, free)
			}
			for id, had := range services {
				if owner, _ := s.Owner(id); owner != had.owner {
					t.Fatalf("step %d: %s belongs to %s, want %s", step, id, owner, had.owner)
				}
			}
		}
	}
}

func check(t *testing.T, step int, snap *Snapshot, values map[string]string, ids []string) {
	t.Helper()
	got := maps.Collect(snap.Values(""))
	bytes := 0
	for k, v := range values {
		bytes += len(k) + len(v)
	}
	if !maps.Equal(got, values) || snap.Bytes() != bytes {
		t.Fatalf("step %d: values %v (%d bytes), want %v (%d bytes)", step, got, snap.Bytes(), values, bytes)
	}
	var have []string
	for svc := range snap.Services("") {
		have = append(have, svc.ID)
	}
	slices.SortFunc(ids, func(a, b string) int {
		_, i, _, _ := ParseID(a)
		_, j, _, _ := ParseID(b)
		return i - j
	})
	if !slices.Equal(have, ids) {
		t.Fatalf("step %d: services %v, want %v", step, have, ids)
	}
}

func TestLimitsOfTheWhole(t *testing.T) {
	s := New(nil)
	value := strings.Repeat("x", MaxValue)
	n := 0
	for ; ; n++ {
		before := s.Snapshot()
		_, err := s.Apply([]Op{SetOp(fmt.Sprint(n), value)})
		if err == nil {
			continue
		}
		if !errors.Is(err, ErrFull) || s.Snapshot() != before {
			t.Fatalf("value %d: %v", n, err)
		}
		break
	}
	if n < MaxData/(MaxValue+10) || n > MaxData/MaxValue {
		t.Errorf("%d values of %d bytes fit", n, MaxValue)
	}
	if _, err := s.Apply([]Op{SetOp("0", "small")}); err != nil {
		t.Errorf("making room is refused: %v", err)
	}
	if _, err := s.Apply([]Op{ClearOp("")}); err != nil || s.Snapshot().Bytes() != 0 {
		t.Errorf("clearing: %v, %d bytes left", err, s.Snapshot().Bytes())
	}
}

func TestNonsense(t *testing.T) {
	s := New(nil)
	ok := Service{Name: "a", Group: "b", State: Ready}
	for name, c := range map[string]func() error{
		"no owner":    func() error { _, _, err := s.Register("", ok); return err },
		"huge epoch":  func() error { svc := ok; svc.Epoch = 1 << 63; _, _, err := s.Register("o", svc); return err },
		"epoch alone": func() error { svc := ok; svc.Index, svc.Epoch = -1, 5; _, _, err := s.Register("o", svc); return err },
		"if on clear": func() error { _, err := s.Apply([]Op{{Kind: KindClear, If: IfAbsent}}); return err },
		"no kind":     func() error { _, err := s.Apply([]Op{{Key: "k"}}); return err },
	} {
		if err := c(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s.Leave("o", "nonsense"); s.Snapshot().Revision() != 1 {
		t.Error("nonsense changed something")
	}
}

func TestRestore(t *testing.T) {
	s := New(nil)
	if _, _, err := s.Register("o", Service{Name: "a", Group: "b", State: Ready}); err != nil {
		t.Fatal(err)
	}
	before := s.Snapshot()
	if _, err := s.Apply([]Op{SetOp("k", "v")}); err != nil {
		t.Fatal(err)
	}
	s.Leave("o", "a#0@b")
	s.Restore(before)
	if owner, ok := s.Owner("a#0@b"); !ok || owner != "o" {
		t.Errorf("after going back the owner is %q, %v", owner, ok)
	}
	if _, ok := s.Snapshot().Value("k"); ok || s.Snapshot().Revision() != before.Revision() {
		t.Error("after going back the value is still there")
	}
}

// TestFeedForgets: who falls behind further than the feed remembers is given the whole state, and nothing grows.
func TestFeedForgets(t *testing.T) {
	s := New(nil)
	f := NewFeed(s.Snapshot())
	first := s.Snapshot().Revision()
	write := func(value string) {
		ev, err := s.Apply([]Op{SetOp("k", value)})
		if err != nil {
			t.Fatal(err)
		}
		f.Publish(s.Snapshot(), ev)
	}
	for i := range maxEvents {
		write(fmt.Sprint(i))
	}
	if events, _, ok := f.Since(first); !ok || len(events) != maxEvents {
		t.Fatalf("%d events are remembered, %v", len(events), ok)
	}
	write("one more")
	if _, _, ok := f.Since(first); ok {
		t.Fatal("more is remembered than allowed")
	}
	if events, _, ok := f.Since(first + 1); !ok || len(events) != maxEvents {
		t.Fatalf("%d events are remembered, %v", len(events), ok)
	}
	big := strings.Repeat("x", MaxValue-10)
	for i := range 100 {
		write(fmt.Sprint(i) + big)
	}
	if n := len(f.events); n > maxEventBytes/MaxValue+1 || f.bytes > maxEventBytes {
		t.Fatalf("%d events with %d bytes are remembered", n, f.bytes)
	}
	for ev := range f.Watch(context.Background(), first+5) {
		if ev.Reset != f.Snapshot() {
			t.Fatalf("a watcher far behind gets %d, %v", ev.Revision, ev.Reset)
		}
		break
	}
	// In the middle of its loop, too.
	n := 0
	for ev := range f.Watch(context.Background(), s.Snapshot().Revision()-1) {
		switch n++; n {
		case 1:
			for i := range maxEvents + 1 {
				write(fmt.Sprint("again", i))
			}
		case 2:
			if ev.Reset == nil {
				t.Fatalf("a watcher that was overtaken gets %d", ev.Revision)
			}
		}
		if n == 2 {
			break
		}
	}
	f.Publish(NewSnapshot(1, 1, nil, nil)) // an older state is not taken
	if f.Snapshot() != s.Snapshot() {
		t.Fatal("the feed went back")
	}
}

// TestFeedManyWatchers: each of many watchers gets every event once and in order, however slow.
func TestFeedManyWatchers(t *testing.T) {
	const events, watchers = 1000, 20
	s := New(nil)
	f := NewFeed(s.Snapshot())
	var wg sync.WaitGroup
	for range watchers {
		wg.Go(func() {
			want, begin := 0, f.Snapshot()
			if v, ok := begin.Value("n"); ok {
				_, _ = fmt.Sscan(v, &want)
				want++
			}
			if want == events {
				return // it came too late
			}
			for ev := range f.Watch(context.Background(), begin.Revision()) {
				if got := ev.Changes[0].Value; got != fmt.Sprint(want) {
					t.Errorf("event %d is %s, want %d", ev.Revision, got, want)
					return
				}
				if v, _ := f.Snapshot().Value("n"); v == "" {
					t.Error("an event is seen before its state")
				}
				if want++; want == events {
					return
				}
			}
		})
	}
	for i := range events {
		ev, err := s.Apply([]Op{SetOp("n", fmt.Sprint(i))})
		if err != nil {
			t.Fatal(err)
		}
		f.Publish(s.Snapshot(), ev)
	}
	wg.Wait()
}

func filled() *Snapshot {
	values := func(yield func(string, string) bool) {
		for i := range 10000 {
			if !yield(fmt.Sprintf("config/%05d", i), "value") {
				return
			}
		}
	}
	services := func(yield func(*Service) bool) {
		for i := range 1000 {
			s := &Service{Name: "game", Group: "dev", Index: i, State: Ready}
			s.ID = FormatID(s.Name, s.Index, s.Group)
			if !yield(s) {
				return
			}
		}
	}
	return NewSnapshot(1, 1, values, services)
}

func BenchmarkSnapshotValue(b *testing.B) {
	f := NewFeed(filled())
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := f.Snapshot().Value("config/05000"); !ok {
			b.Fatal("not there")
		}
	}
}

func BenchmarkSnapshotService(b *testing.B) {
	f := NewFeed(filled())
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := f.Snapshot().Service("game#500@dev"); !ok {
			b.Fatal("not there")
		}
	}
}

func BenchmarkApply(b *testing.B) {
	s := New(filled())
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		if _, err := s.Apply([]Op{SetOp("config/05000", fmt.Sprint(i))}); err != nil {
			b.Fatal(err)
		}
	}
}
