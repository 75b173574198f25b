package player

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/robot/robotapi"
	"github.com/davyxu/cellmesh_demo/svc/robot/tally"
)

// AfterRefusal is how long a robot waits before it tries again: one that does
// not would be taken for an attacker.
const AfterRefusal = 100 * time.Millisecond

// Conn is what a robot needs of its connection, which is a *cellnet.Session.
type Conn interface {
	Append(head, body []byte) (first bool, err error)
	Flush()
}

// Robot is one scripted client. The methods in this file, of Pace and of Calls
// are for scenarios, which are called under the robot's lock; those in life.go
// are for who runs the robots.
type Robot struct {
	Index int    // 0 to Options.Robots-1
	UID   string // unique in the run

	run *Run

	mu       sync.Mutex    // guards the rest
	conn     Conn          // nil: it is not online
	ended    bool          // so has the connection that Online is about to give
	returns  bool          // it is to come back from the end of its last connection
	begun    bool          // by Begin
	started  bool          // it has played
	stopped  bool          // by Stop
	plays    bool          // started, not stopped, and online
	unsent   bool          // something was appended that nobody else flushes
	life     uint32        // number of its connection, from 1: what was to happen after an earlier one does not
	farewell pb.ResultCode // why the server is about to close
	now      time.Duration
	body     []byte // scratch for Send
	rand     *rand.Rand
	hears    []hearer
	pace     pace
	look     alarm // for overdue replies
	events   events
}

// hearer is what to do with one kind of message.
type hearer struct {
	id   uint16
	hear func(body []byte)
}

// events are what a scenario wants to be called for.
type events struct {
	begin   []func()
	lost    []func()
	back    []func()
	overdue []func()
	last    []func()
	owes    []func() int
	settle  []func()
	refused []refusal
}

type refusal struct {
	id   uint16
	hear func(code pb.ResultCode)
}

// New makes a robot that is not online yet and gives it to its scenario.
func New(run *Run, index int, scenario func(*Robot)) *Robot {
	r := &Robot{Index: index, UID: run.UIDOf(index), run: run, life: 1}
	r.Hear(pb.RejectACKID, r.rejected)
	scenario(r)
	return r
}

// Run is what the robot shares with the others, the run's options first of all.
func (r *Robot) Run() *Run { return r.run }

// Op is the operation of that name, to Record.
func (r *Robot) Op(name string) *tally.Op { return r.run.Tally.Op(name) }

// Hear sets what to do with messages of that ID; body is valid until hear
// returns. Messages nobody hears are passed over: a newer server may say more.
func (r *Robot) Hear(id uint16, hear func(body []byte)) {
	for i := range r.hears {
		if r.hears[i].id == id {
			r.hears[i].hear = hear
			return
		}
	}
	r.hears = append(r.hears, hearer{id, hear})
}

// Hear is Robot.Hear for a decoded message. A body that does not decode is a
// violation.
func Hear[M any, P interface {
	*M
	pb.Message
}](r *Robot, hear func(m *M)) {
	var zero P
	id := zero.MsgID()
	r.Hear(id, func(body []byte) {
		m := P(new(M))
		if err := proto.Unmarshal(body, m); err != nil {
			r.Violation(robotapi.ReplyWrong, "a "+pb.MessageName(id), fmt.Sprintf("what does not decode: %v: % x", err, body))
			return
		}
		hear((*M)(m))
	})
}

// OnBegin adds f to what is called when all robots are online and shall play.
func (r *Robot) OnBegin(f func()) { r.events.begin = append(r.events.begin, f) }

// OnLoss adds f to what is called when the robot has lost its connection. It may
// never have another.
func (r *Robot) OnLoss(f func()) { r.events.lost = append(r.events.lost, f) }

// OnReturn adds f to what is called when it has another, on which it may have heard
// something already. The robot begins anew, with InFlight requests to make: nothing
// comes any more of what was under way, and what After was to do is not done. Who
// asks again calls Hold.
func (r *Robot) OnReturn(f func()) { r.events.back = append(r.events.back, f) }

// OnRefused sets what the robot does when the server says that it did not take a
// message of that ID; it then also has to call Again, after AfterRefusal, if the
// message was one of Pace. (Without OnRefused the robot does just that.) An error
// has been counted.
func (r *Robot) OnRefused(id uint16, f func(code pb.ResultCode)) {
	r.events.refused = append(r.events.refused, refusal{id, f})
}

// AtLast adds f to what is called once the robot has stopped and is owed
// nothing: it may ask a last question.
func (r *Robot) AtLast(f func()) { r.events.last = append(r.events.last, f) }

// AtEnd adds owes, which tells how many replies are still to come, and settle,
// which is called when the robot waits for them no longer, to complain. A robot
// that lost its connection does not settle.
func (r *Robot) AtEnd(owes func() int, settle func()) {
	r.events.owes = append(r.events.owes, owes)
	r.events.settle = append(r.events.settle, settle)
}

// Send sends a message.
func (r *Robot) Send(m pb.Message) {
	id := m.MsgID()
	b, err := proto.MarshalOptions{}.MarshalAppend(append(r.body[:0], byte(id), byte(id>>8)), m)
	if err != nil {
		r.Error("encode", fmt.Sprintf("%s: %v", pb.MessageName(id), err))
		return
	}
	r.body = b
	r.SendRaw(b, nil)
}

// SendRaw sends a message that is encoded already: head begins with the ID, and
// both are copied.
func (r *Robot) SendRaw(head, body []byte) {
	if r.conn == nil {
		return // counted when it was closed
	}
	first, err := r.conn.Append(head, body)
	if err != nil {
		return // the connection has ended, and Closed will tell why
	}
	r.unsent = r.unsent || first
}

// After calls f after d, unless the robot has stopped or lost its connection by
// then.
func (r *Robot) After(d time.Duration, f func()) {
	r.run.Wheel.set(&alarm{robot: r, ring: f, life: r.life}, r.Now()+d)
}

// Now is the time of the batch that is being heard.
func (r *Robot) Now() time.Duration {
	if r.now == 0 {
		r.now = r.run.Now()
	}
	return r.now
}

// Rand is the robot's own source of chance, which repeats with the seed.
func (r *Robot) Rand() *rand.Rand {
	if r.rand == nil {
		r.rand = rand.New(rand.NewPCG(r.run.Seed, uint64(r.Index)))
	}
	return r.rand
}

// Record counts an operation that was due at a time and is done now.
func (r *Robot) Record(op *tally.Op, due time.Duration) { op.Record(r.Index, r.Now()-due) }

// Violation reports that the server broke its promise to this robot: which one
// (robotapi has the kinds), what was expected, what was seen.
func (r *Robot) Violation(kind, expected, seen string) {
	r.run.Tally.Violation(kind, r.UID, r.Now(), expected, seen)
}

// unanswered reports a reply that did not come; chaos excuses it.
func (r *Robot) unanswered(what, expected, seen string) {
	if r.run.Chaos {
		r.Error("unanswered: "+what, "expected "+expected+"; seen "+seen)
		return
	}
	r.Violation(robotapi.ReplyMissing, expected, seen)
}

// Error counts what went wrong without breaking a promise.
func (r *Robot) Error(code, example string) { r.run.Tally.Error(code, r.UID+": "+example) }
