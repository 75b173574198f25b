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
	last  bool      // a message for many, behind which nothing has arrived
}

// Frame fans a message out to its clients. What one client cannot take is its
// own loss: its session is cut.
//
// A batch's messages are written when it is over, those for one client together.
// But its last message for many is written as it is spread: nothing can join it,
// and a second round through so many clients would find them all out of the
// processor's cache again.
func (b *backend) Frame(f link.Frame) error {
	if f.Kind != link.ToClient {
		b.last = !b.link.More()
		return b.spread(f)
	}
	b.last = false
	if c := b.g.slots.get(f.Client); c != nil {
		b.append(c, f.ID, f.Body)
	} else {
		b.g.stray.Add(1)
	}
	return nil
}

// spread appends a message for many.
func (b *backend) spread(f link.Frame) error {
	switch f.Kind {
	case link.ToMany:
		list, body, ok := link.CutList(f.Body)
		if !ok {
			return fmt.Errorf("agent: %s sent a list longer than its frame", b.link.ID)
		}
		for i := range list.Len() {
			if c := b.g.slots.get(list.At(i)); c != nil {
				b.append(c, f.ID, body)
			}
		}
	case link.ToGroup:
		group, body, ok := link.CutGroup(f.Body)
		if !ok {
			return fmt.Errorf("agent: %s sent a group name longer than its frame", b.link.ID)
		}
		if f.Client != 0 {
			b.g.groups.each(group, b.filtered(f, body))
			break
		}
		b.g.groups.each(group, func(c *client) { b.append(c, f.ID, body) })
	case link.ToAll:
		if f.Client != 0 {
			if !b.g.kinds.none(link.Filter(f.Client)) {
				b.g.slots.each(b.filtered(f, f.Body))
			}
			break
		}
		b.g.slots.each(func(c *client) {
			if c.user.Load() != nil {
				b.append(c, f.ID, f.Body)
			}
		})
	}
	return nil
}

// filtered appends a message for those that its filter passes.
func (b *backend) filtered(f link.Frame, body []byte) func(*client) {
	return func(c *client) {
		if c.user.Load() != nil && link.Filter(f.Client).Passes(c.features.Load()) {
			b.append(c, f.ID, body)
		}
	}
}

func (b *backend) append(c *client, id uint16, body []byte) {
	b.count++
	if b.g.msgs.Enabled(id) {
		b.g.msgs.Log("to client", id, len(body), "uid", c.uid(), "client", c.id, "from", b.link.ID)
	}
	head := [2]byte{byte(id), byte(id >> 8)}
	var err error
	if b.last {
		err = c.session.Send(head[:], body)
	} else {
		var first bool
		if first, err = c.session.Append(head[:], body); first {
			b.dirty = append(b.dirty, c)
		}
	}
	if err == cellnet.ErrFrameTooLarge { // other errors have closed the session, which tells why
		b.g.tooLarge.Add(1)
		if unsaid, ok := b.g.backendLog.Say(); ok {
			b.g.log.Error("message from a backend is larger than clients take", "backend", b.link.ID, "uid", c.uid(),
				"message", pb.MessageName(id), "id", id, "bytes", len(body), "limit", route.MaxBody, "unsaid", unsaid)
		}
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
