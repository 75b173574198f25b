package gateway

import (
	"math"

	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/proto/pb"
)

// clientName is a backend saying what the player of its client is called now.
// The other backends that know the client are told.
func (g *Gateway) clientName(l *link.Link, id uint64, m *pb.ClientName) error {
	c := g.slots.get(id)
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	u := c.user.Load()
	if c.closed || u == nil || c.boundTo(l.Name) != l || u.name == m.Name {
		return nil
	}
	renamed := *u
	renamed.name = m.Name
	c.user.Store(&renamed)
	for _, b := range c.bound() {
		if b.link != l {
			b.link.Send(id, m) // fails if it has ended: the next one is told the name with the client
		}
	}
	g.feeds.changed(u.uid, 0)
	return nil
}

// deliver is a backend sending a message to a uid, whoever has its client.
func (g *Gateway) deliver(l *link.Link, _ uint64, m *pb.DeliverREQ) error {
	ack := &pb.DeliverACK{Call: m.Call}
	if c := g.users.client(m.Uid); c != nil && c.user.Load() != nil && m.MsgId <= math.MaxUint16 {
		id := uint16(m.MsgId)
		if g.msgs.Enabled(id) {
			g.msgs.Log("to client", id, len(m.Body), "uid", m.Uid, "client", c.id, "from", l.ID)
		}
		err := c.session.SendMessage(id, m.Body) // an error has closed the session, or the body is too large
		ack.Delivered = err == nil
		g.returned.Add(1)
	}
	g.answer(l, ack)
	return nil
}

// retire is a backend that stops asking for no more messages of clients. They wait
// for the end of its link (awaitEnd), and so for all that it says about those that
// it has; then another instance gets them.
func (g *Gateway) retire(l *link.Link, _ uint64, m *pb.RetireREQ) error {
	l.Seal()
	g.answer(l, &pb.RetireACK{Call: m.Call})
	return nil
}

// answer answers a backend. If its link is full it hears nothing, and gives up
// by itself.
func (g *Gateway) answer(l *link.Link, m pb.Message) {
	if _, err := appendControl(l, 0, m); err != nil {
		g.log.Debug("answer not sent", "backend", l.ID, "message", pb.MessageName(m.MsgID()), "err", err)
	}
	l.Flush()
}

// members is a backend asking who is in a group here.
func (g *Gateway) members(l *link.Link, _ uint64, m *pb.MembersREQ) error {
	var users []*pb.Presence_User
	total := uint32(0)
	g.groups.each([]byte(m.Group), func(c *client) {
		total++
		if u := c.user.Load(); u != nil && !m.Count {
			users = append(users, &pb.Presence_User{Uid: u.uid, Epoch: u.epoch, Name: u.name, Features: u.features})
		}
	})
	for len(users) > presenceBatch {
		g.answer(l, &pb.MembersACK{Call: m.Call, Users: users[:presenceBatch], Total: total, More: true})
		users = users[presenceBatch:]
	}
	g.answer(l, &pb.MembersACK{Call: m.Call, Users: users, Total: total})
	return nil
}
