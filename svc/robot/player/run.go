package player

import (
	"crypto/rand"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/robot/tally"
)

// Options are what all robots of a run have in common.
type Options struct {
	Robots   int           // how many there are
	UID      string        // their uids begin with it; a number follows
	InFlight int           // most requests under way per robot
	Rate     float64       // requests a second per robot; 0: the next follows the reply
	Think    time.Duration // about how long a robot thinks between a reply and the next request; not with a Rate
	Size     int           // bytes of content
	Seed     uint64        // makes a run repeat
	EchoID   uint16        // message ID of the reply to EchoREQ
	Keep     bool          // what Acknowledged is told, for a look into the ledger

	// Patience is how long a robot waits for a reply, at least, before it takes it
	// for lost; at most twice as long. 0: until the end.
	Patience time.Duration
	// Chaos says that servers are killed meanwhile: a connection that ends without a
	// reason and a reply that does not come are errors, not violations.
	Chaos bool
	// Lost is told the index of a robot that has lost its connection and shall have
	// another (Robot.Online), under the robot's lock. nil: none comes back.
	Lost func(index int)
}

// Run is what robots of one run share.
type Run struct {
	Options
	ID    string // no other run has it: marks what must not be taken for another run's
	Tally *tally.Tally
	Wheel *Wheel

	began time.Time

	mu     sync.Mutex
	shared map[reflect.Type]any
	ends   []func()
	told   map[string]*Told
}

// Told is what a player was told about the changes that it asked for.
type Told struct {
	Done    []Change        // acknowledged, in the order of their replies
	InDoubt map[string]bool // request IDs that may have been done
}

// Change is one acknowledged change of a player.
type Change struct {
	RequestID              string
	Revision, Level, Money int64 // Level or Money is 0 when the reply does not tell it
}

// NewRun prepares a run. Its clock starts now.
func NewRun(o Options, t *tally.Tally) *Run {
	if o.EchoID == 0 {
		o.EchoID = pb.EchoACKID
	}
	r := &Run{Options: o, ID: strings.ToLower(rand.Text()[:8]), Tally: t, began: time.Now(), shared: map[reflect.Type]any{}}
	r.Wheel = newWheel(r.Now)
	return r
}

// Now is the time since the run was prepared. All times of a run are told so.
func (r *Run) Now() time.Duration { return time.Since(r.began) }

// UIDOf is the uid of the robot of that index.
func (r *Run) UIDOf(index int) string { return fmt.Sprint(r.UID, index) }

// All is the name under which Violation complains about what all robots
// together have seen.
const All = "all robots"

// Violation reports a promise that was broken to all robots together.
func (r *Run) Violation(kind, expected, seen string) {
	r.Tally.Violation(kind, All, r.Now(), expected, seen)
}

// AtEnd adds f to what is called when all robots have settled, to complain
// about what concerns all of them.
func (r *Run) AtEnd(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ends = append(r.ends, f)
}

// Settle calls what was added with AtEnd.
func (r *Run) Settle() {
	r.mu.Lock()
	ends := r.ends
	r.mu.Unlock()
	for _, f := range ends {
		f()
	}
}

// Acknowledged notes a change that the player of that uid was told is done, if
// Options.Keep says so.
func (r *Run) Acknowledged(uid string, c Change) {
	if !r.Keep {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.toldTo(uid)
	t.Done = append(t.Done, c)
}

// InDoubt notes a request of which the player does not know whether it was done.
func (r *Run) InDoubt(uid, requestID string) {
	if !r.Keep {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.toldTo(uid).InDoubt[requestID] = true
}

func (r *Run) toldTo(uid string) *Told {
	t := r.told[uid]
	if t == nil {
		t = &Told{InDoubt: map[string]bool{}}
		if r.told == nil {
			r.told = map[string]*Told{}
		}
		r.told[uid] = t
	}
	return t
}

// Told is what players were told, by uid. When all robots have settled.
func (r *Run) Told() map[string]*Told { return r.told }

// Shared is the one T that all robots of the run share: the first who asks for
// it makes it. For scenarios, whose robots then guard its fields themselves;
// make must not ask for another.
func Shared[T any](r *Robot, make func(*Run) *T) *T {
	run, key := r.run, reflect.TypeFor[T]()
	run.mu.Lock()
	found, ok := run.shared[key]
	run.mu.Unlock()
	if ok {
		return found.(*T)
	}
	// Robots are made one after the other, so nobody else makes it meanwhile.
	made := make(run)
	run.mu.Lock()
	defer run.mu.Unlock()
	run.shared[key] = made
	return made
}
