package player

import (
	"context"
	"math"
	"sync"
	"time"
)

const (
	// tick is how finely a wheel tells times apart.
	tick = time.Millisecond
	// wheelSlots is how many ticks one turn has. A later alarm stays in its slot
	// for as many turns as it takes.
	wheelSlots = 4096
)

// Wheel wakes any number of robots from one goroutine.
type Wheel struct {
	now  func() time.Duration
	wake chan struct{} // capacity 1: there is an alarm before next

	mu    sync.Mutex
	slots [wheelSlots][]*alarm
	count int
	at    int64 // ticks up to here have been looked at
	next  int64 // the tick to look again at
}

// alarm is one thing to do at a time. It is its robot's: set under the robot's
// lock, and rung under it.
type alarm struct {
	robot *Robot
	ring  func()
	life  uint32 // rings only while the robot plays, in this life; 0: always
	due   int64  // the tick; of the wheel while set
}

func newWheel(now func() time.Duration) *Wheel {
	return &Wheel{now: now, wake: make(chan struct{}, 1)}
}

// set has the alarm ring at a time, which may have passed. It must not be set
// already.
func (w *Wheel) set(a *alarm, at time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.count == 0 {
		w.at, w.next = int64(w.now()/tick), never
	}
	a.due = max(int64((at+tick-1)/tick), w.at+1)
	i := a.due % wheelSlots
	w.slots[i] = append(w.slots[i], a)
	w.count++
	if a.due < w.next {
		w.next = a.due
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// never is when to look if nobody waits.
const never = math.MaxInt64

// Run rings alarms until ctx is done.
func (w *Wheel) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var due []*alarm
	for {
		select {
		case <-timer.C:
		case <-w.wake:
		case <-ctx.Done():
			return
		}
		due = w.take(due[:0])
		for i, a := range due {
			a.robot.ring(a)
			due[i] = nil
		}
		if next := w.sleep(); next < never {
			timer.Reset(time.Duration(next)*tick - w.now())
		}
	}
}

// sleep finds the next tick to look at: the first that anything is set to, in
// this turn or a later one.
func (w *Wheel) sleep() (next int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next = never
	for t := w.at + 1; w.count > 0 && w.next == never; t++ {
		if len(w.slots[t%wheelSlots]) > 0 {
			w.next = t
		}
	}
	return w.next
}

// take removes what is due by now and appends it to due.
func (w *Wheel) take(due []*alarm) []*alarm {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := int64(w.now() / tick)
	if now-w.at > wheelSlots {
		w.at = now - wheelSlots
	}
	for w.at < now {
		w.at++
		slot := w.slots[w.at%wheelSlots]
		later := slot[:0]
		for _, a := range slot {
			if a.due <= now {
				due = append(due, a)
			} else {
				later = append(later, a)
			}
		}
		clear(slot[len(later):])
		w.slots[w.at%wheelSlots] = later
	}
	w.count -= len(due)
	return due
}
