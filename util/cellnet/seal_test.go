package cellnet

import (
	"errors"
	"sync"
	"testing"
)

// When Seal returns, the last frame of its kind has been taken; others go on.
func TestSeal(t *testing.T) {
	a, b := pair(t, nil, nil)
	r := newRecorder()
	run(t, a, newRecorder())
	run(t, b, r)
	var taken, senders sync.WaitGroup
	var mu sync.Mutex
	count := 0
	for range 4 {
		taken.Add(1)
		senders.Go(func() {
			for first := true; ; first = false {
				mu.Lock() // counts no more than were taken
				err := a.Send([]byte("\x01kind one"), nil)
				if err == nil {
					count++
				}
				mu.Unlock()
				if first {
					taken.Done()
				}
				if errors.Is(err, ErrSealed) {
					return
				}
			}
		})
	}
	taken.Wait()
	a.Seal(1)
	mu.Lock()
	n := count
	mu.Unlock()
	if err := a.Send([]byte("\x02kind two"), nil); err != nil {
		t.Error(err)
	}
	senders.Wait()
	if count != n {
		t.Errorf("%d frames were taken after Seal", count-n)
	}
	within(t, "all frames", func() bool { return r.count() == n+1 })
	if got := r.got(); got[n] != "\x02kind two" {
		t.Errorf("the last is %q", got[n])
	}
	a.Close(nil)
	if err := a.Send([]byte("\x01"), []byte("x")); !errors.Is(err, ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
}
