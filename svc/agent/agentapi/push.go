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
	var body []byte
	kind := link.ToAll
	if to.Group != "" {
		if err := checkGroup(to.Group); err != nil {
			return err
		}
		kind, body = link.ToGroup, link.AppendGroup(nil, to.Group)
	}
	body, err := marshalAppend(body, m)
	if err != nil {
		return err
	}
	return s.toAgents(kind, link.NewFilter(to.With, to.Without), m.MsgID(), body)
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

func (s *Server) toAgents(kind link.Kind, filter link.Filter, id uint16, body []byte) error {
	var all []error
	for _, l := range s.links.Named("agent") {
		all = append(all, s.push(l, kind, filter, id, body))
	}
	return errors.Join(all...)
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
