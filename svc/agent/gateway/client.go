package gateway

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/agent/route"
	"github.com/davyxu/cellmesh_demo/util/cellnet"
)

// client is one client connection.
type client struct {
	// Set before anybody else sees the client.
	g       *Gateway
	session *cellnet.Session
	id      uint64

	// Owned by the goroutine that reads the session.
	dirty *link.Link // has messages of this client that nobody else will flush

	// Shared.
	user     atomic.Pointer[user]      // nil before a backend has said who it is
	bindings atomic.Pointer[[]binding] // replaced under mu, never changed
	mu       sync.Mutex
	closed   bool // under mu: bindings are final
}

// user is who a client is.
type user struct {
	uid      string
	epoch    uint64
	features uint32
}

var errFull = errors.New("agent: as many clients as -maxclients allows")

// open makes the client of an accepted connection.
func (g *Gateway) open(s *cellnet.Session) (cellnet.Handler, error) {
	c := &client{g: g, session: s}
	if !g.slots.add(c) {
		return nil, errFull
	}
	return c, nil
}

// Frame takes one message of the client: it looks up its rule and passes it on
// unread.
func (c *client) Frame(b []byte) error {
	id := cellnet.MessageID(b)
	if id == pb.PingACKID {
		return c.session.Send(b, nil)
	}
	rule := c.g.rules.Load().Lookup(id)
	if rule == nil || rule.Access == route.Blocked {
		return c.reject(id, pb.ResultCode_MessageBlocked, "clients may not send this")
	}
	if rule.Access == route.Auth && c.user.Load() == nil {
		return c.reject(id, pb.ResultCode_NotVerified, "only after VerifyREQ")
	}
	return c.relay(rule, id, b[2:])
}

// relay appends a message to the link of the backend that is bound for it.
func (c *client) relay(rule *route.Rule, id uint16, body []byte) error {
	l := c.backend(rule, body)
	for l != nil {
		first, err := l.Append(link.ToClient, c.id, id, body)
		switch {
		case err == nil:
			if first {
				c.flush(l)
			}
			c.g.counters.relayed.Add(1)
			return nil
		case errors.Is(err, cellnet.ErrFull):
			c.g.counters.busy.Add(1)
			return c.reject(id, pb.ResultCode_ServiceBusy, rule.Service+" does not keep up")
		}
		l = c.rebind(rule, body, l)
	}
	c.g.counters.unavailable.Add(1)
	return c.reject(id, pb.ResultCode_ServiceUnavailable, "no "+rule.Service+" is there")
}

// flush sees to it that what this client was first to append to l is written
// at the end of the batch.
func (c *client) flush(l *link.Link) {
	if c.dirty != nil && c.dirty != l {
		c.dirty.Flush()
	}
	c.dirty = l
}

// Batch writes what the messages just handled have caused.
func (c *client) Batch() {
	if c.dirty != nil {
		c.dirty.Flush()
		c.dirty = nil
	}
}

// reject counts a message that was not taken, and tells the client if it
// understands. The connection lives.
func (c *client) reject(id uint16, code pb.ResultCode, reason string) error {
	c.g.counters.rejected.Add(1)
	u := c.user.Load()
	uid := ""
	if u != nil {
		uid = u.uid
	}
	c.g.log.Debug("message refused", "uid", uid, "remote", c.session.RemoteAddr(), "message", pb.MessageName(id), "id", id, "code", code, "reason", reason)
	if u == nil || u.features&uint32(pb.VerifyREQ_Reject) == 0 {
		return nil
	}
	return c.send(&pb.RejectACK{MsgId: uint32(id), Code: code, Reason: reason})
}

// send sends a message of the agent's own.
func (c *client) send(m pb.Message) error {
	frame, err := encode(m)
	if err != nil {
		return err
	}
	return c.session.Send(frame, nil)
}

// Closed tells exactly the backends that know the client.
func (c *client) Closed(reason error) {
	c.g.slots.remove(c)
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	for _, b := range c.bound() {
		b.link.Send(c.id, &pb.ClientClosed{Reason: reason.Error()}) // fails only if the backend is gone too
	}
	c.g.log.Debug("client closed", "remote", c.session.RemoteAddr(), "reason", reason)
}
