package player

import (
	"fmt"
	"slices"
	"time"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/robot/robotapi"
)

const (
	// callPatience is how many later requests may be answered before one is taken
	// for lost.
	callPatience = 64
	// callsKnown is how many answered requests are remembered, to tell a second
	// answer from one that nobody asked for.
	callsKnown = 16
)

// Calls checks replies that name their request: each request is to be answered
// once, and all in the order in which they were sent. A robot has one Calls for
// everything that one service answers in order.
type Calls struct {
	robot   *Robot
	open    []call   // under way, oldest first
	excused []uint16 // IDs of messages that the server has refused, without telling which
	known   []string // answered or given up, oldest first
	late    []string // taken for lost, oldest first

	// Lost, if set, is called when the reply to a request is taken for lost while
	// the robot plays. The request is then to be asked again, or Again called if it
	// was one of Pace; without Lost that is done.
	Lost func(id uint16, key string)
}

type call struct {
	id        uint16
	key       string
	due       time.Duration
	after     string // a later request that was answered before this one
	overtaken int    // by so many
	old       bool   // it was there at the last look at what is overdue
}

// NewCalls makes the calls of a robot. What is not answered at the end is
// complained about.
func NewCalls(r *Robot) *Calls {
	c := &Calls{robot: r}
	r.AtEnd(c.Owed, c.settle)
	r.OnReturn(c.forget)
	r.events.overdue = append(r.events.overdue, c.overdue)
	return c
}

// Ask sends a request that was due at a time. key is how its reply names it; two
// under way may have the same, if their replies are the same as well.
func (c *Calls) Ask(m pb.Message, key string, due time.Duration) {
	c.open = append(c.open, call{id: m.MsgID(), key: key, due: due})
	c.robot.Send(m)
}

// Answered notes the reply to a request to which message it was and returns when
// the request was due. ok is false if this is no reply that was owed; then it has
// been complained about.
func (c *Calls) Answered(id uint16, key string) (due time.Duration, ok bool) {
	i := slices.IndexFunc(c.open, func(o call) bool { return o.id == id && o.key == key })
	name := callName(id, key)
	if i < 0 {
		switch {
		case slices.Contains(c.late, name):
			c.late = slices.Delete(c.late, slices.Index(c.late, name), slices.Index(c.late, name)+1)
			if !c.robot.run.Chaos { // which excuses it
				c.robot.Violation(robotapi.ReplyReordered, "the reply to "+name+" in its turn", "it came after it was taken for lost")
			}
		case slices.Contains(c.known, name):
			c.robot.Violation(robotapi.ReplyDoubled, "one reply to "+name, "another")
		default:
			c.robot.Violation(robotapi.ReplyWrong, "replies to what was asked", "a reply to "+name+", which was not")
		}
		return 0, false
	}
	found := c.open[i]
	if found.after != "" {
		c.robot.Violation(robotapi.ReplyReordered, "the reply to "+name+" before that to "+found.after+", which was sent later", "it came after that")
	}
	for j := range i {
		if o := &c.open[j]; o.after == "" {
			o.after = name
		}
		c.open[j].overtaken++
	}
	c.open = slices.Delete(c.open, i, i+1)
	c.known = remember(c.known, name)
	for len(c.open) > 0 && c.open[0].overtaken > callPatience {
		c.lose()
	}
	return found.due, true
}

// Refused notes that the server did not take a message of that ID.
func (c *Calls) Refused(id uint16) {
	if c.count(id) > c.countExcused(id) {
		c.excused = append(c.excused, id)
	}
	if c.count(id) == 1 { // then it is known which
		c.drop(slices.IndexFunc(c.open, func(o call) bool { return o.id == id }))
	}
}

// Owed is how many replies are still to come.
func (c *Calls) Owed() int { return len(c.open) - len(c.excused) }

func (c *Calls) count(id uint16) (n int) {
	for i := range c.open {
		if c.open[i].id == id {
			n++
		}
	}
	return n
}

func (c *Calls) countExcused(id uint16) (n int) {
	for _, e := range c.excused {
		if e == id {
			n++
		}
	}
	return n
}

// drop forgets a request, and reports whether its reply is excused.
func (c *Calls) drop(i int) (excused bool) {
	o := c.open[i]
	c.open = slices.Delete(c.open, i, i+1)
	c.known = remember(c.known, callName(o.id, o.key))
	if e := slices.Index(c.excused, o.id); e >= 0 {
		c.excused = slices.Delete(c.excused, e, e+1)
		return true
	}
	return false
}

// lose takes the oldest reply for lost, and tells Lost.
func (c *Calls) lose() {
	o := c.open[0]
	switch excused := c.giveUp(); {
	case excused: // and sent again by whoever was told so
	case c.Lost != nil:
		c.Lost(o.id, o.key)
	default:
		c.robot.pace.free++
	}
}

// giveUp takes the oldest reply for lost.
func (c *Calls) giveUp() (excused bool) {
	o := c.open[0]
	if c.drop(0) {
		return true
	}
	name, seen := callName(o.id, o.key), "none"
	if o.after != "" {
		seen += "; that to " + o.after + ", which was sent later, came"
	}
	c.late = remember(c.late, name)
	c.robot.unanswered(pb.MessageName(o.id), fmt.Sprintf("a reply to %s, sent %v ago", name, (c.robot.Now()-o.due).Round(time.Millisecond)), seen)
	return false
}

// settle takes all replies that have not come for lost.
func (c *Calls) settle() {
	for len(c.open) > 0 {
		c.giveUp()
	}
}

// overdue takes for lost what was not answered at the last look either.
func (c *Calls) overdue() {
	for len(c.open) > 0 && c.open[0].old {
		c.lose()
	}
	for i := range c.open {
		c.open[i].old = true
	}
}

// forget takes nothing for owed that was asked on the connection before.
func (c *Calls) forget() {
	for _, o := range c.open {
		c.robot.Error("unanswered: "+pb.MessageName(o.id), "its connection has ended")
	}
	c.open, c.excused, c.known, c.late = nil, nil, nil, nil
}

func remember(names []string, name string) []string {
	if len(names) == callsKnown {
		names = slices.Delete(names, 0, callsKnown/2)
	}
	return append(names, name)
}

func callName(id uint16, key string) string {
	if key == "" {
		return pb.MessageName(id)
	}
	return pb.MessageName(id) + " " + key
}
