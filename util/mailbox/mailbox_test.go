package mailbox

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// One owner's items run in order, one at a time, whoever posts them; idle
// follows every run of items.
func TestOrderAndExclusion(t *testing.T) {
	var g Group
	var m Mailbox[[2]int]
	var inside, handled atomic.Int32
	last := map[int]int{}
	m.Init(&g, 1<<20, func(v [2]int) {
		if inside.Add(1) != 1 {
			t.Error("two items at once")
		}
		if v[1] != last[v[0]] {
			t.Errorf("poster %d: item %d, want %d", v[0], v[1], last[v[0]])
		}
		last[v[0]]++
		handled.Add(1)
		inside.Add(-1)
	}, func() {
		if inside.Load() != 0 {
			t.Error("idle while an item runs")
		}
	})
	var wg sync.WaitGroup
	for p := range 8 {
		wg.Go(func() {
			for i := range 1000 {
				if err := m.Post([2]int{p, i}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	g.Wait()
	if n := handled.Load(); n != 8000 {
		t.Fatalf("handled %d of 8000", n)
	}
}

// A full mailbox refuses; a closed one runs its last item after all others
// and refuses the rest.
func TestLimitAndClose(t *testing.T) {
	var g Group
	var m Mailbox[int]
	gate, entered := make(chan struct{}), make(chan struct{}, 8)
	var got []int
	m.Init(&g, 2, func(v int) { entered <- struct{}{}; <-gate; got = append(got, v) }, func() {})
	post := func(v int, want error) {
		t.Helper()
		if err := m.Post(v); !errors.Is(err, want) {
			t.Fatalf("Post(%d) = %v, want %v", v, err, want)
		}
	}
	post(1, nil)
	<-entered // 1 is being handled, the queue is empty again
	post(2, nil)
	post(3, nil)
	post(4, ErrFull)
	if !m.Close(99) || m.Close(100) {
		t.Fatal("the first Close closes, the second does not")
	}
	post(5, ErrClosed)
	close(gate)
	g.Wait()
	want := []int{1, 2, 3, 99}
	if len(got) != len(want) {
		t.Fatalf("handled %v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("handled %v, want %v", got, want)
		}
	}
}

// Another owner is not held up by one that blocks.
func TestParallel(t *testing.T) {
	var g Group
	gate, done := make(chan struct{}), make(chan struct{})
	var a, b Mailbox[int]
	a.Init(&g, 1, func(int) { <-gate }, func() {})
	b.Init(&g, 1, func(int) { close(done) }, func() {})
	if err := errors.Join(a.Post(0), b.Post(0)); err != nil {
		t.Fatal(err)
	}
	<-done
	close(gate)
	g.Wait()
}

func BenchmarkPost(b *testing.B) {
	var g Group
	var m Mailbox[int]
	done := make(chan struct{}, 1)
	m.Init(&g, 16, func(int) {}, func() { done <- struct{}{} })
	b.ReportAllocs()
	for b.Loop() {
		if err := m.Post(1); err != nil {
			b.Fatal(err)
		}
		<-done
	}
	g.Wait()
}
