package scenario

import (
	"fmt"
	"math"
	"slices"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/robot/player"
	"github.com/davyxu/cellmesh_demo/svc/robot/robotapi"
	"github.com/davyxu/cellmesh_demo/svc/robot/tally"
)

// maxGaps is how many lines that did not come an ear waits for, before it takes
// them for lost.
const maxGaps = 64

// ear is what one robot hears of one stream. Each line that the server took is to
// be heard once, in the order in which they were said.
type ear struct {
	sender   int
	channel  channel
	stream   *stream
	receives bool     // what is said in private
	from     uint64   // lines up to this one need not be heard: they were said before the robot was in the room
	last     uint64   // number of the newest line heard
	lastID   uint64   // its ID
	gaps     []uint64 // lines before it that did not come, and are due
}

// closedEar hears nothing that it must.
const closedEar = math.MaxUint64

// close ends listening when the robot is away. What did not come before lines that
// did is lost.
func (e *ear) close(r *player.Robot) {
	_, sure := e.stream.numbers()
	for _, n := range e.gaps {
		if n <= sure && e.stream.mustHear(n, n) > 0 {
			e.lost(r, n)
		}
	}
	e.gaps, e.from = nil, closedEar
}

// again listens to what is said from now on; in a room when the robot has joined.
func (e *ear) again() {
	if e.channel != toRoom {
		e.from, _ = e.stream.numbers()
	}
}

// hear checks a line, and counts it if it was due.
func (e *ear) hear(r *player.Robot, heard *tally.Op, l line, got *pb.LineACK_Line) {
	f, said, due, known, waited := e.stream.hear(l.number, e.receives)
	who := func() string { return fmt.Sprintf("%v of %s", l, r.Run().UIDOf(l.sender)) }
	switch i := slices.Index(e.gaps, l.number); {
	case l.number == 0 || l.number > said:
		r.Violation(robotapi.LineWrong, fmt.Sprintf("lines up to #%d of %s", said, r.Run().UIDOf(l.sender)), who()+", which was never said")
		return
	case f == refused:
		r.Violation(robotapi.LineWrong, who()+" not to be heard: its sender was told so", "it came")
		return
	case waited && l.number <= e.last: // what is said later may come earlier
		e.gaps = slices.DeleteFunc(e.gaps, func(n uint64) bool { return n == l.number })
		return
	case i >= 0:
		e.gaps = slices.Delete(e.gaps, i, i+1)
		r.Violation(robotapi.LineReordered, fmt.Sprintf("%s before #%d", who(), e.last), "it came after that")
		return
	case l.number <= e.last && f == stored && r.Run().Chaos: // of an agent that died nobody knows what it has handed over
		r.Error("stored line doubled", who())
		return
	case l.number <= e.last:
		r.Violation(robotapi.LineDoubled, who()+" once", "it came again")
		return
	case got.Id <= e.lastID:
		r.Violation(robotapi.LineReordered, fmt.Sprintf("%s with a higher ID than #%d, which had %d", who(), e.last, e.lastID), fmt.Sprintf("it has ID %d", got.Id))
	}
	if e.from != closedEar {
		for n := max(e.last, e.from) + 1; n < l.number; n++ {
			e.miss(r, n)
		}
	}
	e.last, e.lastID = l.number, got.Id
	if known {
		r.Record(heard, due)
	}
}

// miss notes a line that did not come yet.
func (e *ear) miss(r *player.Robot, number uint64) {
	if e.stream.mustHear(number, number) == 0 {
		return
	}
	e.gaps = append(e.gaps, number)
	if len(e.gaps) > maxGaps {
		e.lost(r, e.gaps[0])
		e.gaps = slices.Delete(e.gaps, 0, 1)
	}
}

func (e *ear) lost(r *player.Robot, number uint64) {
	r.Violation(robotapi.LineMissing, fmt.Sprintf("%v of %s, which the server took", line{e.sender, e.channel, number}, r.Run().UIDOf(e.sender)), "it did not come")
}

// owed is how many lines are still to come.
func (e *ear) owed() int {
	if e.from == closedEar {
		return 0
	}
	_, sure := e.stream.numbers()
	return int(e.stream.mustHear(max(e.last, e.from)+1, sure)) + len(e.waiting())
}

// waiting are stored lines that are for this ear, and were not heard yet.
func (e *ear) waiting() []uint64 {
	if !e.receives {
		return nil
	}
	return e.stream.waiting()
}

// settle complains about what did not come.
func (e *ear) settle(r *player.Robot) {
	if e.from == closedEar {
		return
	}
	for _, n := range e.gaps {
		if e.stream.mustHear(n, n) > 0 {
			e.lost(r, n)
		}
	}
	for _, n := range e.waiting() {
		if r.Run().Chaos { // a social that has died had it in hand
			r.Error("stored line not heard", r.UID)
			continue
		}
		e.lost(r, n)
	}
	_, sure := e.stream.numbers()
	for n := max(e.last, e.from) + 1; n <= sure; n++ {
		if e.stream.mustHear(n, n) > 0 {
			e.lost(r, n)
		}
	}
}
