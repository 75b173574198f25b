package limits

import (
	"hash/maphash"
	"testing"
	"testing/synctest"
	"time"
)

// Each key has its rate; nobody notices that keys are forgotten.
func TestTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(2, 4, 1000, maphash.String)
		spend := func(key string) (n int) {
			for l.Allow(key) {
				n++
			}
			return n
		}
		if a, b := spend("a"), spend("b"); a != 4 || b != 4 {
			t.Errorf("%d and %d at once, want 4", a, b)
		}
		total := 0
		for range 40 { // through several generations
			time.Sleep(500 * time.Millisecond)
			total += spend("a")
		}
		if total < 39 || total > 41 {
			t.Errorf("%d in 20 s, want 40", total)
		}
		time.Sleep(5 * time.Second)
		l.Allow("c")
		time.Sleep(5 * time.Second)
		l.Allow("c")
		if n := l.Len(); n != 1 {
			t.Errorf("%d keys are known, want 1", n)
		}
		if n := l.Overflow(); n != 0 {
			t.Errorf("%d keys forgotten early", n)
		}
	})
}

// However many keys come, no more than so many are kept; the busy one stays.
func TestBound(t *testing.T) { synctest.Test(t, testBound) } // where no time goes by

func testBound(t *testing.T) {
	l := New(1, 5, 100, maphash.Comparable[int])
	allowed := 0
	for i := range 10_000 {
		if l.Allow(-1) {
			allowed++
		}
		l.Allow(i)
		if n := l.Len(); n > 100 {
			t.Fatalf("%d keys are known", n)
		}
	}
	if allowed > 7 || l.Overflow() == 0 {
		t.Errorf("the busy key was allowed %d times, %d forgotten", allowed, l.Overflow())
	}
	if l = New(0, 5, 100, maphash.Comparable[int]); !l.Allow(1) || l.Len() != 0 {
		t.Error("no limit is one")
	}
}
