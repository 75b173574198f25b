package agentapi

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/proto/pb"
)

// askTimeout is how long an agent may take to answer. Its link is watched: an
// agent that hangs is noticed by that, too, but only after 12 seconds.
const askTimeout = 5 * time.Second

var (
	errNoAnswer = errors.New("no answer in time")
	errLinkDown = errors.New("the link has ended")
)

// ErrNotLinked says that an agent is not there, so that it was asked nothing.
var ErrNotLinked = errors.New("it is not linked")

// calls are the questions that agents have not answered yet. The zero value is
// ready.
type calls struct {
	mu   sync.Mutex
	last uint64
	open map[uint64]*asked
}

// asked is one question to one agent.
type asked struct {
	link *link.Link
	take func(m pb.Message) (more bool) // takes an answer, or a part of it; under calls.mu
	done chan error                     // holds one
}

// ask asks the agent at l and returns when it has answered, or cannot any more.
// question makes the question of a number.
func (s *Server) ask(ctx context.Context, l *link.Link, question func(number uint64) pb.Message, take func(m pb.Message) (more bool)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, askTimeout, errNoAnswer)
	defer cancel()
	c := &asked{link: l, take: take, done: make(chan error, 1)}
	cs := &s.calls
	cs.mu.Lock()
	cs.last++
	n := cs.last
	if cs.open == nil {
		cs.open = map[uint64]*asked{}
	}
	cs.open[n] = c
	cs.mu.Unlock()
	defer func() {
		cs.mu.Lock()
		defer cs.mu.Unlock()
		delete(cs.open, n)
	}()
	m := question(n)
	body, err := m.AppendTo(nil)
	if err != nil {
		return fmt.Errorf("encode %s: %w", pb.MessageName(m.MsgID()), err)
	}
	if _, err := l.Append(link.Control, 0, m.MsgID(), body); err != nil {
		return fmt.Errorf("%s: %w", l.ID, err)
	}
	l.Flush()
	select {
	case err = <-c.done:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", l.ID, err)
	}
	return nil
}

// answer takes an answer from the agent at l; one that nobody waits for is
// dropped.
func (cs *calls) answer(l *link.Link, n uint64, m pb.Message) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if c := cs.open[n]; c != nil && c.link == l && !c.take(m) {
		delete(cs.open, n)
		c.done <- nil
	}
}

// lose ends what was asked of the agent at l.
func (cs *calls) lose(l *link.Link) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for n, c := range cs.open {
		if c.link == l {
			delete(cs.open, n)
			c.done <- errLinkDown
		}
	}
}

// Deliver sends m to a player, at whatever agent. It is true when that agent had
// the player's client and put m on its way; false when the player is not online.
// With an error it is not known, but with ErrNotLinked it has not left. It waits
// for the agent, up to 5 seconds. Only after Greet.
func (s *Server) Deliver(ctx context.Context, uid string, m pb.Message) (bool, error) {
	body, err := marshalAppend(nil, m)
	if err != nil {
		return false, err
	}
	for {
		u, is := s.presence.find(uid)
		if !is {
			return false, nil
		}
		l := s.links.Get(u.at.link.ID)
		if l == nil {
			return false, fmt.Errorf("deliver to %q: %s: %w", uid, u.at.link.ID, ErrNotLinked)
		}
		delivered := false
		err := s.ask(ctx, l, func(n uint64) pb.Message {
			return &pb.DeliverREQ{Call: n, Uid: uid, MsgId: uint32(m.MsgID()), Body: body}
		}, func(m pb.Message) bool {
			delivered = m.(*pb.DeliverACK).Delivered
			return false
		})
		if err != nil {
			return false, fmt.Errorf("deliver to %q: %w", uid, err)
		}
		if again, is := s.presence.find(uid); delivered || !is || again.epoch == u.epoch {
			return delivered, nil
		} // it has logged in anew meanwhile
	}
}

// Members are the members of a group at all agents, sorted by uid. An error
// names the agents that have not answered; the members that the others have
// named are returned with it. It waits up to 5 seconds, and is work for every
// member: to know how many there are ask CountMembers.
func (s *Server) Members(ctx context.Context, group string) ([]User, error) {
	users, _, err := s.members(ctx, group, false)
	return users, err
}

// CountMembers is how many members a group has at all agents. With an error
// those of the agents that have answered.
func (s *Server) CountMembers(ctx context.Context, group string) (int, error) {
	_, n, err := s.members(ctx, group, true)
	return n, err
}

func (s *Server) members(ctx context.Context, group string, count bool) (users []User, total int, err error) {
	if err := checkGroup(group); err != nil {
		return nil, 0, err
	}
	agents := s.links.Named("agent")
	type answer struct {
		users []User
		total int
		err   error
	}
	answers := make([]answer, len(agents))
	var all sync.WaitGroup
	for i, l := range agents {
		all.Go(func() {
			a := &answers[i]
			a.err = s.ask(ctx, l, func(n uint64) pb.Message {
				return &pb.MembersREQ{Call: n, Group: group, Count: count}
			}, func(m pb.Message) bool {
				ack := m.(*pb.MembersACK)
				for _, u := range ack.Users {
					a.users = append(a.users, User{UID: u.Uid, Name: u.Name, Epoch: u.Epoch, Features: u.Features, Agent: l.ID})
				}
				a.total = int(ack.Total)
				return ack.More
			})
		})
	}
	all.Wait()
	var failed []error
	for _, a := range answers {
		if a.err != nil {
			failed = append(failed, a.err)
			continue
		}
		users, total = append(users, a.users...), total+a.total
	}
	if err := errors.Join(failed...); err != nil {
		return sortUsers(users), total, fmt.Errorf("members of %q: %w", group, err)
	}
	return sortUsers(users), total, nil
}
