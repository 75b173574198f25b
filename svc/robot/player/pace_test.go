package player

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/davyxu/cellmesh_demo/svc/robot/tally"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// turn has the wheel of a run turn until stop.
func turn(t *testing.T, run *Run) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); run.Wheel.Run(ctx) }()
	return func() {
		cancel()
		<-done
	}
}

// sink is a connection that takes everything.
type sink struct{ appended, flushed int }

func (s *sink) Append(_, _ []byte) (bool, error) { s.appended++; return true, nil }
func (s *sink) Flush()                           { s.flushed++ }

// In an open loop requests go out at their rate whatever becomes of them, and
// robots are spread over the time between two.
func TestOpenLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run := NewRun(Options{Robots: 4, InFlight: 1000, Rate: 100}, &tally.Tally{})
		stop := turn(t, run)
		var sent [4][]time.Duration
		for i := range sent {
			r := New(run, i, func(r *Robot) {
				r.Pace(func(due time.Duration) { sent[i] = append(sent[i], due) })
			})
			r.Online(&sink{})
			r.Begin()
		}
		time.Sleep(time.Second + 5*time.Millisecond)
		synctest.Wait()
		stop()
		for i, all := range sent {
			if len(all) != 101 && len(all) != 100 {
				t.Errorf("robot %d sent %d requests in a second, want 100", i, len(all))
			}
			first, want := all[0], time.Duration(i)*2500*time.Microsecond
			if first < want || first > want+coarse {
				t.Errorf("robot %d began at %v, want %v", i, first, want)
			}
		}
	})
}

// A request that had to wait for its turn is late, and the delay counts.
func TestOpenLoopCountsDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run := NewRun(Options{Robots: 1, InFlight: 2, Rate: 100}, &tally.Tally{})
		stop := turn(t, run)
		var sent []time.Duration
		r := New(run, 0, func(r *Robot) {
			r.Pace(func(due time.Duration) { sent = append(sent, due.Round(coarse)) })
			r.Hear(1, func([]byte) { r.Again() })
		})
		r.Online(&sink{})
		r.Begin()
		time.Sleep(95 * time.Millisecond) // the server is silent: 2 are under way, the next are overdue
		synctest.Wait()
		if behind := r.Behind(); behind < 70*time.Millisecond || behind > 80*time.Millisecond {
			t.Errorf("%v behind, want 75 ms", behind)
		}
		r.Message(1, nil)
		r.Message(1, nil)
		r.Batch()
		stop()
		ms := time.Millisecond
		if want := []time.Duration{0, 10 * ms, 20 * ms, 30 * ms}; !slices.Equal(sent, want) {
			t.Errorf("requests count from %v, want %v", sent, want)
		}
	})
}

// In a closed loop as many are under way as shall be, and no more after Stop.
func TestClosedLoop(t *testing.T) {
	r, _ := newTestRobot(Options{InFlight: 3})
	sent := 0
	r.Pace(func(time.Duration) { sent++ })
	r.Hear(1, func([]byte) { r.Again() })
	r.Begin()
	if sent != 0 {
		t.Error("a robot that is not online sent something")
	}
	r.Online(&sink{})
	r.Begin()
	if sent != 3 {
		t.Errorf("%d requests at first, want 3", sent)
	}
	r.Message(1, nil)
	if sent != 4 {
		t.Errorf("%d requests after a reply, want 4", sent)
	}
	r.Stop()
	r.Message(1, nil)
	if sent != 4 {
		t.Error("a request was sent after Stop")
	}
}

// In a closed loop with thinking each reply is followed by the next request after
// about as long as the robots think, the same with the same seed.
func TestThinking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		think := func(seed uint64) (sent []time.Duration) {
			run := NewRun(Options{Robots: 1, InFlight: 1, Think: time.Second, Seed: seed}, &tally.Tally{})
			stop := turn(t, run)
			r := New(run, 0, func(r *Robot) {
				r.Pace(func(due time.Duration) { sent = append(sent, due); r.Again() })
			})
			r.Online(&sink{})
			r.Begin()
			time.Sleep(time.Minute)
			synctest.Wait()
			stop()
			return sent
		}
		first := think(1)
		if len(first) < 50 || len(first) > 70 || first[0] > time.Second {
			t.Errorf("%d requests in a minute, the first after %v", len(first), first[0])
		}
		for i := 1; i < len(first); i++ {
			if gap := first[i] - first[i-1]; gap < time.Second/2 || gap > 3*time.Second/2+coarse {
				t.Errorf("the robot thought for %v", gap)
			}
		}
		if again := think(1); !slices.Equal(first, again) {
			t.Errorf("the same seed, other times: %v, %v", first[:5], again[:5])
		}
		if other := think(2); slices.Equal(first, other) {
			t.Error("another seed, the same times")
		}
	})
}

// What one batch of messages causes is written at once.
func TestBatchIsOneWrite(t *testing.T) {
	r, _ := newTestRobot(Options{InFlight: 16})
	s := &sink{}
	r.Pace(func(time.Duration) { r.SendRaw([]byte{1, 0}, nil) })
	r.Hear(1, func([]byte) { r.Again() })
	r.Online(s)
	r.Begin()
	for range 16 {
		r.Message(1, nil)
	}
	r.Batch()
	if s.appended != 32 || s.flushed != 2 {
		t.Errorf("%d requests in %d writes, want 32 in 2", s.appended, s.flushed)
	}
}

// Alarms ring in time, also those further away than one turn of the wheel, and
// not at all once the robot has stopped.
func TestAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run := NewRun(Options{Robots: 1, InFlight: 1}, &tally.Tally{})
		stop := turn(t, run)
		r := New(run, 0, func(*Robot) {})
		r.Online(&sink{})
		r.Begin()
		var rang []time.Duration
		waits := []time.Duration{0, time.Millisecond, 777 * time.Millisecond, 4096 * time.Millisecond, 30 * time.Second}
		time.Sleep(5 * time.Second) // nothing is set: the clock stands still
		start := run.Now()
		r.mu.Lock()
		for _, d := range waits {
			r.After(d, func() { rang = append(rang, (r.Now() - start).Round(time.Second/100)) })
		}
		r.unlock()
		time.Sleep(31 * time.Second)
		synctest.Wait()
		r.mu.Lock()
		r.After(time.Second, func() { t.Error("an alarm rang after Stop") })
		r.unlock()
		r.Stop()
		time.Sleep(2 * time.Second)
		stop()
		for i, d := range waits {
			if i >= len(rang) || rang[i] != d.Round(time.Second/100) {
				t.Fatalf("alarms rang at %v, want %v", rang, waits)
			}
		}
	})
}
