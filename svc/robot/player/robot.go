package player

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/robot/tally"
	"github.com/davyxu/cellmesh_demo/util/cellnet"
)

// afterRefusal is how long a robot waits before it tries again: one that does
// not would be taken for an attacker.
const afterRefusal = 100 * time.Millisecond

// Conn is what a robot needs of its connection, which is a *cellnet.Session.
type Conn interface {
	Append(head, body []byte) (first bool, err error)
	Flush()
}

// Robot is one scripted client. What is said to be for scenarios is called by
// them, under the robot's lock; the rest is for who runs the robots.
type Robot struct {
	Index int    // 0 to Options.Robots-1
	UID   string // unique in the run

	run *Run

	mu      sync.Mutex // guards the rest
	conn    Conn       // nil before Online and after Closed
	closed  bool
	plays   bool // between Begin and Stop, and online
	unsent  bool // something was appended that nobody else flushes
	now     time.Duration
	body    []byte // scratch for Send
	rand    *rand.Rand
	begin   []func()
	hears   []hearer
	refused func(id uint16, code pb.ResultCode)
	owes    func() int
	settle  func()
	pace    pace
}

// hearer is what to do with one kind of message.
type hearer struct {
	id   uint16
	hear func(body []byte)
}

// New makes a robot that is not online yet and gives it to its scenario.
func New(run *Run, index int, uid string, scenario func(*Robot)) *Robot {
	r := &Robot{Index: index, UID: uid, run: run}
	r.Hear(pb.RejectACKID, r.rejected)
	scenario(r)
	return r
}

// Options are the run's. For scenarios.
func (r *Robot) Options() *Options { return &r.run.Options }

// Op is the operation of that name, to Record. For scenarios.
func (r *Robot) Op(name string) *tally.Op { return r.run.Tally.Op(name) }

// OnBegin adds f to what is called when all robots are online and shall play.
// For scenarios.
func (r *Robot) OnBegin(f func()) { r.begin = append(r.begin, f) }

// Hear sets what to do with messages of that ID; body is valid until hear
// returns. Messages nobody hears are passed over: a newer server may say more.
// For scenarios.
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
			r.Violation("wrong", "%s does not decode: %v: % x", pb.MessageName(id), err, body)
			return
		}
		hear((*M)(m))
	})
}

// OnRefused adds f to what the robot does when the server says that it did not
// take a message: count an error, and take the request as done (Again) after a
// while. For scenarios.
func (r *Robot) OnRefused(f func(id uint16, code pb.ResultCode)) { r.refused = f }

// AtEnd sets owes, which tells how many replies are still to come, and settle,
// which is called when the robot waits for them no longer, to complain. For
// scenarios.
func (r *Robot) AtEnd(owes func() int, settle func()) { r.owes, r.settle = owes, settle }

// Send sends a message. For scenarios.
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
// both are copied. For scenarios.
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

// After calls f after d. For scenarios.
func (r *Robot) After(d time.Duration, f func()) {
	r.run.Wheel.set(&alarm{robot: r, ring: f}, r.Now()+d)
}

// Now is the time of the batch that is being heard. For scenarios.
func (r *Robot) Now() time.Duration {
	if r.now == 0 {
		r.now = r.run.Now()
	}
	return r.now
}

// Rand is the robot's own source of chance, which repeats with the seed. For
// scenarios.
func (r *Robot) Rand() *rand.Rand {
	if r.rand == nil {
		r.rand = rand.New(rand.NewPCG(r.run.Seed, uint64(r.Index)))
	}
	return r.rand
}

// Record counts an operation that was due at a time and is done now. For
// scenarios.
func (r *Robot) Record(op *tally.Op, due time.Duration) { op.Record(r.Index, r.Now()-due) }

// Violation reports that the server broke its promise to this robot: what was
// expected, what came. For scenarios.
func (r *Robot) Violation(kind, format string, args ...any) {
	r.run.Tally.Violation(kind, r.UID, r.Now(), format, args...)
}

// Error counts what went wrong without breaking a promise. For scenarios.
func (r *Robot) Error(code, example string) { r.run.Tally.Error(code, r.UID+": "+example) }

// rejected hears RejectACK.
func (r *Robot) rejected(body []byte) {
	var m pb.RejectACK
	if err := proto.Unmarshal(body, &m); err != nil {
		r.Violation("wrong", "RejectACK does not decode: %v: % x", err, body)
		return
	}
	id := uint16(m.MsgId)
	what := pb.MessageName(id)
	if id == 0 {
		what = "connection"
	}
	r.Error(fmt.Sprintf("refused: %s: %v", what, m.Code), m.Reason)
	if id == 0 {
		return // the end comes by itself
	}
	if r.refused != nil {
		r.refused(id, m.Code)
	}
	r.After(afterRefusal, r.Again)
}

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
	for _, f := range r.begin {
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
	if r.owes == nil || r.conn == nil {
		return 0
	}
	return r.owes()
}

// Settle makes the robot complain about what it is still owed. A robot that lost
// its connection has said so already.
func (r *Robot) Settle() {
	r.mu.Lock()
	defer r.unlock()
	if r.settle != nil && r.conn != nil {
		r.settle()
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

// Closed takes the robot's connection away.
func (r *Robot) Closed(err error) {
	r.mu.Lock()
	defer r.unlock()
	r.conn, r.plays, r.closed = nil, false, true
	r.Error("closed: "+cellnet.ReasonLabel(err), err.Error())
}

// ring is called by the wheel.
func (r *Robot) ring(a *alarm) {
	r.mu.Lock()
	defer r.unlock()
	if r.plays {
		a.ring()
	}
}
