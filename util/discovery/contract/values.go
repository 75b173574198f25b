package contract

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/davyxu/cellmesh_demo/util/discovery"
)

func firstContact(t *testing.T, open Open) {
	r := open()
	s := until(t, r, "there is a first state", func(s *discovery.Snapshot) bool { return s.Revision() > 0 })
	if services, values := s.Len(); services != 0 || values != 0 {
		t.Fatalf("a new engine has %d services and %d values", services, values)
	}
}

func setGetDelete(t *testing.T, open Open) {
	a, b := open(), open()
	rev := apply(t, a, discovery.SetOp("k", "one"))
	if got := a.Snapshot().Revision(); got < rev {
		t.Fatalf("own snapshot is at revision %d after a write at %d", got, rev)
	}
	wantValue(t, a.Snapshot(), "k", "one")
	s := until(t, b, "the other handle has it", func(s *discovery.Snapshot) bool { return s.Revision() >= rev })
	wantValue(t, s, "k", "one")

	if err := discovery.Set(within(t), b, "k", ""); err != nil {
		t.Fatal(err)
	}
	wantValue(t, b.Snapshot(), "k", "") // the empty text is a value
	if err := discovery.Delete(within(t), b, "k"); err != nil {
		t.Fatal(err)
	}
	if v, ok := b.Snapshot().Value("k"); ok {
		t.Fatalf("deleted key has value %q", v)
	}
	until(t, a, "the delete is seen", func(s *discovery.Snapshot) bool { _, ok := s.Value("k"); return !ok })
}

func unchangedIsNoChange(t *testing.T, open Open) {
	r := open()
	rev := apply(t, r, discovery.SetOp("a", "1"), discovery.SetOp("b", "2"))
	for _, ops := range [][]discovery.Op{
		{discovery.SetOp("a", "1")},
		{discovery.SetOp("a", "1"), discovery.SetOp("b", "2")},
		{discovery.SetOp("a", "9"), discovery.SetOp("a", "1")},
		{discovery.DeleteOp("nobody")},
		{discovery.ClearOp("nobody/")},
		{discovery.CheckOp("a").IfValue("1")},
		{},
	} {
		if got := apply(t, r, ops...); got != rev {
			t.Errorf("%v changed nothing but the revision went from %d to %d", ops, rev, got)
			rev = got
		}
	}
}

func batchIsAtomic(t *testing.T, open Open) {
	r := open()
	apply(t, r, discovery.SetOp("a", "1"))
	before := apply(t, r, discovery.SetOp("gone", "x"))
	rev := apply(t, r, discovery.SetOp("a", "2"), discovery.DeleteOp("gone"), discovery.SetOp("b", "x"), discovery.SetOp("b", "y"))
	if rev != before+1 {
		t.Errorf("one batch took the revision from %d to %d", before, rev)
	}
	s := r.Snapshot()
	wantValue(t, s, "a", "2")
	wantValue(t, s, "b", "y")
	if _, ok := s.Value("gone"); ok {
		t.Error("the delete of the batch was not done")
	}
}

func compareAndSet(t *testing.T, open Open) {
	r := open()
	rev := apply(t, r, discovery.SetOp("k", "1").IfAbsent())
	conflict := func(ops ...discovery.Op) {
		t.Helper()
		_, err := r.Apply(within(t), ops...)
		if !errors.Is(err, discovery.ErrConflict) || !strings.Contains(err.Error(), `"k"`) {
			t.Fatalf("apply %v: %v; want a conflict that names the key", ops, err)
		}
		if _, ok := r.Snapshot().Value("other"); ok {
			t.Fatal("a batch with a conflict was done in part")
		}
	}
	conflict(discovery.SetOp("other", "x"), discovery.SetOp("k", "2").IfAbsent())
	conflict(discovery.SetOp("other", "x"), discovery.SetOp("k", "2").IfValue("3"))
	conflict(discovery.SetOp("other", "x"), discovery.CheckOp("k").IfAbsent())
	conflict(discovery.SetOp("k", "3"), discovery.SetOp("k", "4").IfValue("3")) // conditions are about before the batch
	if got := apply(t, r, discovery.CheckOp("k").IfValue("1")); got != rev {
		t.Fatalf("conflicts used up revisions: %d, want %d", got, rev)
	}
	apply(t, r, discovery.SetOp("k", "2").IfValue("1"), discovery.SetOp("other", "y").IfAbsent())
	apply(t, r, discovery.DeleteOp("k").IfValue("2"))
	conflict2 := discovery.SetOp("k", "5").IfValue("2")
	if _, err := r.Apply(within(t), conflict2); !errors.Is(err, discovery.ErrConflict) {
		t.Fatalf("condition on a deleted key: %v; want a conflict", err)
	}
	apply(t, r, discovery.SetOp("k", "5").IfAbsent())
}

// compareAndSetCounts lets several processes count up one value. Every success must count once.
func compareAndSetCounts(t *testing.T, open Open) {
	const processes, each = 4, 25
	first := open()
	apply(t, first, discovery.SetOp("n", "0"))
	var wg sync.WaitGroup
	for range processes {
		r := open()
		wg.Go(func() {
			ctx := within(t)
			for done := 0; done < each; {
				s, err := r.Wait(ctx, 0)
				if err != nil {
					t.Error(err)
					return
				}
				was, ok := s.Value("n")
				n, _ := strconv.Atoi(was)
				if !ok {
					continue
				}
				_, err = r.Apply(ctx, discovery.SetOp("n", strconv.Itoa(n+1)).IfValue(was))
				switch {
				case err == nil:
					done++
				case errors.Is(err, discovery.ErrConflict): // another one was faster; its change is on its way to us
					if _, err := r.Wait(ctx, s.Revision()); err != nil {
						t.Error(err)
						return
					}
				default:
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	want := strconv.Itoa(processes * each)
	until(t, first, "all have counted to "+want, func(s *discovery.Snapshot) bool { v, _ := s.Value("n"); return v == want })
}

func clearPrefix(t *testing.T, open Open) {
	r := open()
	before := apply(t, r, discovery.SetOp("a/1", "x"), discovery.SetOp("a/2", "x"), discovery.SetOp("b", "x"))
	rev := apply(t, r, discovery.SetOp("a/3", "x"), discovery.ClearOp("a/"), discovery.SetOp("a/4", "x"))
	if rev != before+1 {
		t.Errorf("clearing took the revision from %d to %d", before, rev)
	}
	var left []string
	for key := range r.Snapshot().Values("") {
		left = append(left, key)
	}
	if got := strings.Join(left, " "); got != "a/4 b" {
		t.Fatalf("left after clearing a/: %s", got)
	}
	apply(t, r, discovery.ClearOp(""))
	if _, n := r.Snapshot().Len(); n != 0 {
		t.Fatalf("%d values left after clearing all", n)
	}
}

func textIsKept(t *testing.T, open Open) {
	a, b := open(), open()
	texts := map[string]string{
		"config/路由":  "{\n  \"名\": \"值\"\n}",
		"html":       `<a href="x">&amp;</a>`,
		"lines":      "a\r\nb\tc\x00d\u2028e",
		"quote\"\\":  `"\`,
		"json":       `{"b":1,"a":[1,2.50,1e400]}`,
		"json/space": " {} ",
		"big":        strings.Repeat("x", discovery.MaxValue),
	}
	var rev uint64
	for k, v := range texts {
		rev = apply(t, a, discovery.SetOp(k, v))
	}
	s := until(t, b, "all is there", func(s *discovery.Snapshot) bool { return s.Revision() >= rev })
	for k, v := range texts {
		if got, ok := s.Value(k); !ok || got != v {
			t.Errorf("value of %q came back as %.80q, want %.80q", k, got, v)
		}
	}
}

func limits(t *testing.T, open Open) {
	r := open()
	many := make([]discovery.Op, discovery.MaxOps+1)
	for i := range many {
		many[i] = discovery.SetOp(fmt.Sprint("k", i), "")
	}
	half := strings.Repeat("x", discovery.MaxValue)
	for _, c := range []struct {
		name string
		want error
		ops  []discovery.Op
	}{
		{"empty key", discovery.ErrInvalid, []discovery.Op{discovery.SetOp("", "x")}},
		{"control character in key", discovery.ErrInvalid, []discovery.Op{discovery.SetOp("a\nb", "x")}},
		{"key not UTF-8", discovery.ErrInvalid, []discovery.Op{discovery.SetOp("\xff", "x")}},
		{"value not UTF-8", discovery.ErrInvalid, []discovery.Op{discovery.SetOp("k", "\xff")}},
		{"unknown operation", discovery.ErrInvalid, []discovery.Op{{Kind: "jump", Key: "k"}}},
		{"unknown condition", discovery.ErrInvalid, []discovery.Op{{Kind: "set", Key: "k", If: "maybe"}}},
		{"long key", discovery.ErrTooLarge, []discovery.Op{discovery.SetOp(strings.Repeat("k", discovery.MaxKey+1), "x")}},
		{"long value", discovery.ErrTooLarge, []discovery.Op{discovery.SetOp("k", half+"x")}},
		{"many operations", discovery.ErrTooLarge, many},
		{"many bytes", discovery.ErrTooLarge, []discovery.Op{discovery.SetOp("a", half), discovery.SetOp("b", half)}},
	} {
		if _, err := r.Apply(within(t), append([]discovery.Op{discovery.SetOp("other", "x")}, c.ops...)...); !errors.Is(err, c.want) {
			t.Errorf("%s: %v; want %v", c.name, err, c.want)
		}
	}
	if _, ok := r.Snapshot().Value("other"); ok {
		t.Error("a refused batch was done in part")
	}
	apply(t, r, discovery.SetOp(strings.Repeat("k", discovery.MaxKey), half)) // at the limit is allowed
	apply(t, r, many[:discovery.MaxOps]...)
}
