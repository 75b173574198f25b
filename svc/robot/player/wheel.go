package player

import (
	"context"
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
	wake chan struct{} // capacity 1: there is an alarm where there was none

	mu    sync.Mutex
	slots [wheelSlots][]*alarm
	count int
	at    int64 // ticks up to here have been looked at
}

// alarm is one thing to do at a time. It is its robot's: set under the robot's
// lock, and rung under it.
type alarm struct {
	robot *Robot
	ring  func()
	due   int64 // the tick; of the wheel while set
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
		w.at = int64(w.now() / tick)
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
	a.due = max(int64((at+tick-1)/tick), w.at+1)
	i := a.due % wheelSlots
	w.slots[i] = append(w.slots[i], a)
	w.count++
}

// Run rings alarms until ctx is done.
func (w *Wheel) Run(ctx context.Context) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	var due []*alarm
	for {
		w.mu.Lock()
		none := w.count == 0
		w.mu.Unlock()
		if none { // nobody waits: neither does the clock tick
			ticker.Stop()
			select {
			case <-w.wake:
			case <-ctx.Done():
				return
			}
			ticker.Reset(tick)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		due = w.take(due[:0])
		for i, a := range due {
			a.robot.ring(a)
			due[i] = nil
		}
	}
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
