package agentapi

import (
	"errors"
	"fmt"

	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/proto/pb"
)

// Broadcast sends m to every verified client of every agent. The body is
// encoded once, and each agent gets it once.
func (s *Server) Broadcast(m pb.Message) error {
	body, err := marshalAppend(nil, m)
	if err != nil {
		return err
	}
	return s.toAgents(link.ToAll, m.MsgID(), body)
}

// SendGroup sends m to the members of a group on every agent: encoded once,
// one frame per agent.
func (s *Server) SendGroup(group string, m pb.Message) error {
	if err := checkGroup(group); err != nil {
		return err
	}
	body, err := marshalAppend(link.AppendGroup(nil, group), m)
	if err != nil {
		return err
	}
	return s.toAgents(link.ToGroup, m.MsgID(), body)
}

func checkGroup(group string) error {
	if group == "" || len(group) > link.MaxGroup {
		return fmt.Errorf("group name of %d bytes: 1 to %d are allowed", len(group), link.MaxGroup)
	}
	return nil
}

func (s *Server) toAgents(kind link.Kind, id uint16, body []byte) error {
	var all []error
	for _, l := range s.links.Named("agent") {
		all = append(all, s.push(l, kind, id, body))
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
			all = append(all, s.push(l, link.ToMany, m.MsgID(), body))
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
func (s *Server) push(l *link.Link, kind link.Kind, id uint16, body []byte) error {
	if _, err := l.Append(kind, 0, id, body); err != nil {
		s.lost.Add(1)
		return fmt.Errorf("to %s: %w", l.ID, err)
	}
	l.Flush()
	return nil
}
