package player

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/robot/robotapi"
	"github.com/davyxu/cellmesh_demo/util/cellnet"
)

// Online gives the robot its connection, or another after it lost one.
func (r *Robot) Online(c Conn) {
	r.mu.Lock()
	defer r.unlock()
	if r.ended { // it was short
		r.ended = false
		r.leave()
		return
	}
	r.conn = c
	r.play()
}

// IsOnline reports whether the robot has its connection.
func (r *Robot) IsOnline() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.conn != nil
}

// Behind is how late the next request of a robot with a rate is by now.
func (r *Robot) Behind() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.started || r.pace.gap == 0 {
		return 0
	}
	return max(r.run.Now()-r.pace.next, 0)
}

// Begin makes the robot play, as soon as it is online.
func (r *Robot) Begin() {
	r.mu.Lock()
	defer r.unlock()
	if r.begun {
		return
	}
	r.begun = true
	if r.conn != nil {
		r.play()
	}
}

// play makes a robot that is online play, for the first time or again.
func (r *Robot) play() {
	if !r.begun {
		return
	}
	r.plays = !r.stopped
	if r.life > 1 {
		r.pace.free = r.run.InFlight
		for _, f := range r.events.back {
			f()
		}
	}
	switch {
	case r.started:
		r.goOn()
	case r.plays:
		r.started = true
		for _, f := range r.events.begin {
			f()
		}
		r.beginPace()
		r.lookAfter()
	}
}

// lookAfter looks for replies that are overdue, every Patience until the robot
// stops.
func (r *Robot) lookAfter() {
	if r.run.Patience <= 0 || len(r.events.overdue) == 0 {
		return
	}
	r.look = alarm{robot: r, ring: func() {
		if r.stopped {
			return
		}
		if r.plays {
			for _, f := range r.events.overdue {
				f()
			}
			r.pump()
		}
		r.run.Wheel.set(&r.look, r.Now()+r.run.Patience)
	}}
	r.run.Wheel.set(&r.look, r.Now()+r.run.Patience)
}

// Stop makes the robot send no more requests of Pace. It tells how many replies
// the robot is still owed, on the connection that it has; ask again until there are
// none.
func (r *Robot) Stop() (owed int) {
	r.mu.Lock()
	defer r.unlock()
	r.plays, r.stopped = false, true
	if r.conn == nil {
		return 0
	}
	for _, f := range r.events.owes {
		owed += f()
	}
	return owed
}

// Last has a robot that has stopped ask its last question. Whether that is
// answered is told by Stop.
func (r *Robot) Last() { r.each(r.events.last) }

// Settle makes the robot complain about what it is still owed. A robot that lost
// its connection has said so already.
func (r *Robot) Settle() { r.each(r.events.settle) }

func (r *Robot) each(all []func()) {
	r.mu.Lock()
	defer r.unlock()
	if r.conn == nil {
		return
	}
	for _, f := range all {
		f()
	}
}

// Message hands what the server sent to who hears it.
func (r *Robot) Message(id uint16, body []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.hears {
		if r.hears[i].id == id {
			r.hears[i].hear(body)
			break
		}
	}
	return nil
}

// Batch writes what the messages just heard have caused.
func (r *Robot) Batch() {
	r.mu.Lock()
	r.unlock()
}

// unlock ends a batch: what was appended is written, time goes on, and others
// may have the robot.
func (r *Robot) unlock() {
	conn, unsent := r.conn, r.unsent
	r.unsent, r.now = false, 0
	r.mu.Unlock()
	if unsent && conn != nil {
		conn.Flush()
	}
}

// Closed takes the robot's connection away. That the server did not say why is a
// violation.
func (r *Robot) Closed(err error) {
	r.mu.Lock()
	defer r.unlock()
	r.returns = r.run.Ended(r.UID, r.farewell, err)
	r.ended = r.conn == nil
	r.conn, r.plays, r.farewell = nil, false, 0
	r.life++
	for _, f := range r.events.lost {
		f()
	}
	if !r.ended { // else Online is still to come
		r.leave()
	}
}

// leave asks for another connection, if there is to be one.
func (r *Robot) leave() {
	if r.returns {
		r.run.Lost(r.Index)
	}
}

// Ended judges the end of a connection of that uid, before which the server has
// said farewell, if it has. It reports whether whoever had it shall come back:
// unless this side has ended it, or the reason will be the same the next time.
func (r *Run) Ended(uid string, farewell pb.ResultCode, err error) (comesBack bool) {
	if errors.Is(err, context.Canceled) || errors.Is(err, cellnet.ErrClosed) {
		return false
	}
	code, example := "closed: "+farewell.String(), "the end: "+err.Error()
	if farewell == pb.ResultCode_NoError {
		code = "closed: " + cellnet.ReasonLabel(err)
		if !r.Chaos {
			r.Tally.Violation(robotapi.CloseUnexplained, uid, r.Now(), "a RejectACK that says why, before the connection ends", example)
		}
	}
	r.Tally.Error(code, uid+": "+example)
	return r.Lost != nil && !isTheirs(farewell)
}

// isTheirs reports whether it was meant for this client that its connection ends.
func isTheirs(farewell pb.ResultCode) bool {
	switch farewell {
	case pb.ResultCode_LoggedInElsewhere, pb.ResultCode_Kicked, pb.ResultCode_AccountLocked,
		pb.ResultCode_TooManyViolations, pb.ResultCode_ProtocolError:
		return true
	}
	return false
}

// rejected hears RejectACK.
func (r *Robot) rejected(body []byte) {
	var m pb.RejectACK
	if err := proto.Unmarshal(body, &m); err != nil {
		r.Violation(robotapi.ReplyWrong, "a RejectACK", fmt.Sprintf("what does not decode: %v: % x", err, body))
		return
	}
	id := uint16(m.MsgId)
	if id == 0 { // the end comes by itself
		r.farewell = m.Code
		return
	}
	r.Error(fmt.Sprintf("refused: %s: %v", pb.MessageName(id), m.Code), m.Reason)
	for _, f := range r.events.refused {
		if f.id == id {
			f.hear(m.Code)
			return
		}
	}
	r.After(AfterRefusal, r.Again)
}

// ring is called by the wheel.
func (r *Robot) ring(a *alarm) {
	r.mu.Lock()
	defer r.unlock()
	if a.life == 0 || a.life == r.life && r.plays {
		a.ring()
	}
}
