// Package player is one robot as a scenario sees it: it can send, hear, wait and
// complain.
//
// A scenario is a function that is given a [Robot] before it is online and tells
// it what to do when something happens:
//
//	func greet(r *player.Robot) {
//		greeting, heard, since := "hello from "+r.UID, r.Op("greet"), time.Duration(0)
//		r.Pace(func(due time.Duration) {
//			since = due
//			r.Send(&pb.ChatREQ{Content: greeting})
//		})
//		player.Hear(r, func(m *pb.ChatACK) {
//			if m.Content == greeting {
//				r.Record(heard, since)
//				r.Again()
//			}
//		})
//	}
//
// Whatever a scenario gave the robot to call is called by one goroutine at a
// time, under the robot's lock; scenarios need no locks for what is one robot's.
// What they append to the connection is written at the end of the batch.
//
// Open robot.go first. A robot costs its connection's goroutine, this struct and
// what its scenario holds: pace.go is how requests are spaced without a
// goroutine or timer each, wheel.go the one clock they share, window.go how
// numbered replies are checked.
package player

import (
	"time"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/robot/tally"
)

// Options are what all robots of a run have in common.
type Options struct {
	Robots   int     // how many there are
	InFlight int     // most requests under way per robot
	Rate     float64 // requests a second per robot; 0: the next follows the reply
	Size     int     // bytes of content
	Seed     uint64  // makes a run repeat
	EchoID   uint16  // message ID of the reply to EchoREQ
}

// Run is what robots of one run share.
type Run struct {
	Options
	Tally *tally.Tally
	Wheel *Wheel

	began time.Time
}

// NewRun prepares a run. Its clock starts now.
func NewRun(o Options, t *tally.Tally) *Run {
	if o.EchoID == 0 {
		o.EchoID = pb.EchoACKID
	}
	r := &Run{Options: o, Tally: t, began: time.Now()}
	r.Wheel = newWheel(r.Now)
	return r
}

// Now is the time since the run was prepared. All times of a run are told so.
func (r *Run) Now() time.Duration { return time.Since(r.began) }
