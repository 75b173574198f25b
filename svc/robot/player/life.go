package player

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/robot/robotapi"
	"github.com/davyxu/cellmesh_demo/util/cellnet"
)

// Online gives the robot its connection.
func (r *Robot) Online(c Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed { // it may have been short
		r.conn = c
	}
}

// IsOnline reports whether the robot has its connection.
func (r *Robot) IsOnline() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.conn != nil
}

// Begin makes the robot play, if it is online.
func (r *Robot) Begin() {
	r.mu.Lock()
	defer r.unlock()
	if r.plays = r.conn != nil; !r.plays {
		return
	}
	for _, f := range r.events.begin {
		f()
	}
	r.beginPace()
}

// Stop makes the robot send no more requests of Pace. It tells how many replies
// the robot is still owed; ask again until there are none.
func (r *Robot) Stop() (owed int) {
	r.mu.Lock()
	defer r.unlock()
	r.plays = false
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

// ExpectedFarewell is what a server owes to a client that understands it.
const ExpectedFarewell = "a RejectACK that says why, before the connection ends"

// Closed takes the robot's connection away. That the server did not say why is a
// violation.
func (r *Robot) Closed(err error) {
	r.mu.Lock()
	defer r.unlock()
	r.conn, r.plays, r.closed = nil, false, true
	if code, example, wrong := Ended(r.farewell, err); code != "" {
		r.Error(code, example)
		if wrong {
			r.Violation(robotapi.CloseUnexplained, ExpectedFarewell, example)
		}
	}
}

// Ended judges the end of a connection, before which the server has said
// farewell. code is empty if it was this side that ended it; wrong tells that the
// server owed a reason.
func Ended(farewell string, err error) (code, example string, wrong bool) {
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, cellnet.ErrClosed):
		return "", "", false
	case farewell != "":
		return "closed: " + farewell, "the end: " + err.Error(), false
	}
	return "closed: " + cellnet.ReasonLabel(err), "the end: " + err.Error(), true
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
		r.farewell = m.Code.String()
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
	if r.plays {
		a.ring()
	}
}
