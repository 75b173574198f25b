package gateway

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/agent/route"
	"github.com/davyxu/cellmesh_demo/util/cellnet"
)

// backend receives what one backend's link brings for clients. It belongs to
// the goroutine that reads the link.
type backend struct {
	g     *Gateway
	link  *link.Link
	dirty []*client // have messages that nobody else will flush
	count int64     // messages of this batch

	frame   cellnet.Prepared   // a message for many, behind which nothing has arrived
	hearers []*cellnet.Session // whom it is for
}

// Frame fans a message out to its clients. What one client cannot take is its
// own loss: its session is cut.
//
// A batch's messages are written when it is over, those for one client together.
// But its last message for many is written as it is spread: nothing can join it.
func (b *backend) Frame(f link.Frame) (err error) {
	switch {
	case f.Kind == link.ToClient:
		if c := b.g.slots.get(f.Client); c != nil {
			b.append(c, f.ID, f.Body)
		} else {
			b.g.stray.Add(1)
		}
	case b.link.More():
		_, err = b.each(f, b.append)
	default:
		err = b.spread(f)
	}
	return err
}

// spread writes a message for many.
func (b *backend) spread(f link.Frame) error {
	body, err := b.each(f, func(c *client, id uint16, body []byte) {
		b.log(c, id, body)
		b.hearers = append(b.hearers, c.session)
	})
	b.count += int64(len(b.hearers))
	b.frame.Set(f.ID, body)
	if b.frame.Send(b.hearers) == cellnet.ErrFrameTooLarge {
		b.tooLarge("", f.ID, body)
	}
	clear(b.hearers)
	b.hearers = b.hearers[:0]
	return err
}

// each calls do for every client that a message for many is for, and returns the
// message's body.
func (b *backend) each(f link.Frame, do func(c *client, id uint16, body []byte)) (body []byte, err error) {
	body, ok := f.Body, true
	filtered := func(c *client) {
		if c.user.Load() != nil && (f.Client == 0 || link.Filter(f.Client).Passes(c.features.Load())) {
			do(c, f.ID, body)
		}
	}
	switch f.Kind {
	case link.ToMany:
		var list link.List
		if list, body, ok = link.CutList(f.Body); !ok {
			return nil, fmt.Errorf("agent: %s sent a list longer than its frame", b.link.ID)
		}
		for i := range list.Len() {
			if c := b.g.slots.get(list.At(i)); c != nil {
				do(c, f.ID, body)
			}
		}
	case link.ToGroup:
		var group []byte
		if group, body, ok = link.CutGroup(f.Body); !ok {
			return nil, fmt.Errorf("agent: %s sent a group name longer than its frame", b.link.ID)
		}
		b.g.groups.each(group, filtered)
	case link.ToAll:
		if f.Client == 0 || !b.g.kinds.none(link.Filter(f.Client)) {
			b.g.slots.each(filtered)
		}
	}
	return body, nil
}

// append appends a message for one client.
func (b *backend) append(c *client, id uint16, body []byte) {
	b.count++
	b.log(c, id, body)
	switch first, err := c.session.AppendMessage(id, body); {
	case first:
		b.dirty = append(b.dirty, c)
	case err == cellnet.ErrFrameTooLarge: // other errors have closed the session, which tells why
		b.tooLarge(c.uid(), id, body)
	}
}

func (b *backend) log(c *client, id uint16, body []byte) {
	if b.g.msgs.Enabled(id) {
		b.g.msgs.Log("to client", id, len(body), "uid", c.uid(), "client", c.id, "from", b.link.ID)
	}
}

// tooLarge tells of a message for a client, or, without uid, for many.
func (b *backend) tooLarge(uid string, id uint16, body []byte) {
	b.g.tooLarge.Add(1)
	if unsaid, ok := b.g.backendLog.Say(); ok {
		b.g.log.Error("message from a backend is larger than clients take", "backend", b.link.ID, "uid", uid,
			"message", pb.MessageName(id), "id", id, "bytes", len(body), "limit", route.MaxBody, "unsaid", unsaid)
	}
}

// Batch writes to the clients touched.
func (b *backend) Batch() {
	for i, c := range b.dirty {
		c.session.Flush()
		b.dirty[i] = nil
	}
	b.dirty = b.dirty[:0]
	b.g.returned.Add(b.count)
	b.count = 0
}

// Down has nothing to do: clients notice when they next need the backend.
func (b *backend) Down(error) { b.Batch() }

// clientKick closes a client's connection, after telling it why.
func (g *Gateway) clientKick(_ *link.Link, id uint64, m *pb.ClientKick) error {
	c := g.slots.get(id)
	if c == nil {
		return nil
	}
	if u := c.user.Load(); u != nil && m.Epoch != 0 && u.epoch > m.Epoch {
		return nil // a newer login than the one meant
	}
	c.session.Close(kicked(m.Code, m.Reason))
	return nil
}

// encode makes a frame of a message of the agent's own.
func encode(m pb.Message) ([]byte, error) {
	id := m.MsgID()
	frame, err := proto.MarshalOptions{}.MarshalAppend([]byte{byte(id), byte(id >> 8)}, m)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", pb.MessageName(id), err)
	}
	return frame, nil
}
