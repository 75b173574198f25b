package player

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/davyxu/cellmesh_demo/svc/robot/robotapi"
)

// leastWindow is how many requests a window can look back upon at least.
const leastWindow = 64

// Window checks numbered replies: each request is to be answered once, and in
// the order in which they were sent. It remembers a few times as many requests
// as may be under way: a reply that so many others have overtaken is lost.
type Window struct {
	robot *Robot
	what  string // "echo"
	most  int    // slots there may be

	slots   []slot // a power of two of them, for numbers oldest to next-1
	next    uint64 // number of the next request
	oldest  uint64 // first number that is not answered
	owed    int    // requests without a reply
	excused int    // of them the server has refused: which ones is not known
	missed  map[uint64]bool
	old     uint64 // numbers below are older than the last look at what is overdue
}

// slot is one request.
type slot struct {
	due      time.Duration
	after    uint64 // number of a later request that was answered before this one; 0: none
	answered bool
}

// NewWindow makes the window of a robot's requests. what names them in
// complaints. Numbers begin with 1. What is not answered at the end is complained
// about.
func NewWindow(r *Robot, what string) *Window {
	most := leastWindow
	for most < 4*r.run.InFlight {
		most *= 2
	}
	w := &Window{robot: r, what: what, most: most, slots: make([]slot, min(most, 4)), next: 1, oldest: 1}
	r.AtEnd(w.Owed, w.settle)
	r.OnReturn(w.forget)
	r.events.overdue = append(r.events.overdue, w.overdue)
	return w
}

// name is how complaints call a request.
func (w *Window) name(number uint64) string { return fmt.Sprintf("%s #%d", w.what, number) }

func (w *Window) slot(n uint64) *slot { return &w.slots[n&uint64(len(w.slots)-1)] }

// Sent gives a request its number.
func (w *Window) Sent(due time.Duration) (number uint64) {
	if w.next-w.oldest == uint64(len(w.slots)) {
		if len(w.slots) < w.most {
			w.grow()
		} else {
			w.giveUp() // all others of a whole window came back
		}
	}
	number = w.next
	w.next++
	w.owed++
	*w.slot(number) = slot{due: due}
	return number
}

func (w *Window) grow() {
	old := w.slots
	w.slots = make([]slot, 2*len(old))
	for n := w.oldest; n < w.next; n++ {
		*w.slot(n) = old[n&uint64(len(old)-1)]
	}
}

// Answered notes the reply to a request and returns when that was due. ok is
// false if this is no reply that was owed; then it has been complained about.
func (w *Window) Answered(number uint64) (due time.Duration, ok bool) {
	switch {
	case number == 0 || number >= w.next:
		w.robot.Violation(robotapi.ReplyWrong, fmt.Sprintf("replies to %s and before", w.name(w.next-1)), fmt.Sprintf("a reply to %s, which was never sent", w.name(number)))
		return 0, false
	case w.missed[number]:
		delete(w.missed, number)
		if w.robot.run.Chaos {
			return 0, false // it was said that it is missing
		}
		w.robot.Violation(robotapi.ReplyReordered, "the reply to "+w.name(number)+" before those to later ones", "it came after more than a window of them")
		return 0, false
	case number < w.oldest || w.slot(number).answered:
		w.robot.Violation(robotapi.ReplyDoubled, "one reply to "+w.name(number), "another")
		return 0, false
	}
	s := w.slot(number)
	if s.after != 0 {
		w.robot.Violation(robotapi.ReplyReordered, fmt.Sprintf("the reply to %s before that to #%d, which was sent later", w.name(number), s.after), "it came after that")
	}
	s.answered = true
	w.owed--
	if number != w.oldest {
		w.overtaken(number)
	}
	w.advance()
	return s.due, true
}

// Oldest is the number of the request that is to be answered next.
func (w *Window) Oldest() uint64 { return w.oldest }

// Awaits reports whether the request of that number is not answered yet.
func (w *Window) Awaits(number uint64) bool {
	return number >= w.oldest && number < w.next && !w.slot(number).answered
}

// overtaken remembers that number was answered before those sent earlier. That
// they are missing is not sure yet.
func (w *Window) overtaken(number uint64) {
	for n := w.oldest; n < number; n++ {
		if s := w.slot(n); !s.answered && s.after == 0 {
			s.after = number
		}
	}
}

func (w *Window) advance() {
	for w.oldest < w.next && w.slot(w.oldest).answered {
		w.oldest++
	}
}

// Refused notes that the server did not take one of the requests, without
// telling which.
func (w *Window) Refused() {
	if w.excused < w.owed {
		w.excused++
	}
}

// Owed is how many replies are still to come.
func (w *Window) Owed() int { return w.owed - w.excused }

// giveUp takes the oldest reply for lost.
func (w *Window) giveUp() {
	s := w.slot(w.oldest)
	w.owed--
	if w.excused > 0 {
		w.excused--
	} else {
		if len(w.missed) >= maxMissed {
			delete(w.missed, slices.Min(slices.Collect(maps.Keys(w.missed))))
		}
		if w.missed == nil {
			w.missed = map[uint64]bool{}
		}
		w.missed[w.oldest] = true
		seen := "none"
		if s.after != 0 {
			seen = fmt.Sprintf("none; that to #%d, which was sent later, came", s.after)
		}
		w.robot.unanswered(w.what, fmt.Sprintf("a reply to %s, sent %v ago", w.name(w.oldest), (w.robot.Now()-s.due).Round(time.Millisecond)), seen)
		w.robot.pace.free++ // without which the robot would do less from now on
	}
	s.answered = true
	w.advance()
}

// overdue takes for lost what was not answered at the last look either.
func (w *Window) overdue() {
	for w.oldest < w.old {
		w.giveUp()
	}
	w.old = w.next
}

// forget takes nothing for owed that was asked on the connection before.
func (w *Window) forget() {
	for range w.Owed() {
		w.robot.Error("unanswered: "+w.what, "its connection has ended")
	}
	w.oldest, w.owed, w.excused, w.missed = w.next, 0, 0, nil
}

// maxMissed is how many lost replies are remembered, to be known if they come
// after all.
const maxMissed = 64

// settle takes all replies that have not come for lost.
func (w *Window) settle() {
	for w.owed > 0 {
		w.giveUp()
	}
}
