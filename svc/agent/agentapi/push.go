package agentapi

import (
	"errors"
	"fmt"

	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/proto/pb"
)

// Audience is whom a message is for.
type Audience struct {
	Group string // its members; "": every verified client
	// Features masks: of those only clients that have all of With and none of
	// Without.
	With, Without uint32
}

// Push sends m to an audience on every agent: encoded once, one frame per agent.
func (s *Server) Push(to Audience, m pb.Message) error {
	return s.PushTogether(Addressed{to, m})
}

// Addressed is a message for an audience.
type Addressed struct {
	To      Audience
	Message pb.Message
}

// PushTogether is Push of several messages, in this order: each agent gets them
// in one write. The larger crowd belongs last: an agent writes to its clients as
// it spreads the last message for many, and saves a second round through them.
func (s *Server) PushTogether(messages ...Addressed) error {
	frames := make([]frame, len(messages))
	for i, m := range messages {
		var err error
		if frames[i], err = m.frame(); err != nil {
			return err
		}
	}
	var all []error
	for _, l := range s.links.Named("agent") {
		for _, f := range frames {
			if _, err := l.Append(f.kind, uint64(f.filter), f.id, f.body); err != nil {
				s.lost.Add(1)
				all = append(all, fmt.Errorf("to %s: %w", l.ID, err))
			}
		}
		l.Flush()
	}
	return errors.Join(all...)
}

// frame is a message for many as it goes over a link.
type frame struct {
	kind   link.Kind
	filter link.Filter
	id     uint16
	body   []byte
}

func (m Addressed) frame() (f frame, err error) {
	f = frame{kind: link.ToAll, filter: link.NewFilter(m.To.With, m.To.Without), id: m.Message.MsgID()}
	if m.To.Group != "" {
		if err := checkGroup(m.To.Group); err != nil {
			return f, err
		}
		f.kind, f.body = link.ToGroup, link.AppendGroup(nil, m.To.Group)
	}
	f.body, err = marshalAppend(f.body, m.Message)
	return f, err
}

// Broadcast sends m to every verified client of every agent. The body is
// encoded once, and each agent gets it once.
func (s *Server) Broadcast(m pb.Message) error {
	return s.Push(Audience{}, m)
}

// SendGroup sends m to the members of a group on every agent: encoded once,
// one frame per agent.
func (s *Server) SendGroup(group string, m pb.Message) error {
	if err := checkGroup(group); err != nil {
		return err
	}
	return s.Push(Audience{Group: group}, m)
}

// SendTo sends m to the given clients: encoded once, one frame per agent (more
// for very many clients).
func (s *Server) SendTo(clients []*Client, m pb.Message) error {
	ids := map[*link.Link][]uint64{}
	for _, c := range clients {
		ids[c.link] = append(ids[c.link], c.id)
	}
	message, err := marshalAppend(nil, m)
	if err != nil {
		return err
	}
	var all []error
	for l, list := range ids {
		for len(list) > 0 {
			n := min(len(list), maxList)
			body := append(link.AppendList(nil, list[:n]), message...)
			all = append(all, s.push(l, link.ToMany, 0, m.MsgID(), body))
			list = list[n:]
		}
	}
	return errors.Join(all...)
}

// maxList is how many clients one frame lists: it must stay far below the
// largest frame of a link.
const maxList = 100_000

// push sends one frame for clients. It does not ask whether somebody else is
// going to flush: that may be a mailbox whose next handler blocks.
func (s *Server) push(l *link.Link, kind link.Kind, filter link.Filter, id uint16, body []byte) error {
	if _, err := l.Append(kind, uint64(filter), id, body); err != nil {
		s.lost.Add(1)
		return fmt.Errorf("to %s: %w", l.ID, err)
	}
	l.Flush()
	return nil
}
