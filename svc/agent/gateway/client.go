package gateway

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

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
	dirty      *link.Link // has messages of this client that nobody else will flush
	buckets    []bucket   // of messages with a rate
	violations int        // refusals since
	since      time.Time

	// Shared.
	user     atomic.Pointer[user]      // nil before a backend has said who it is
	bindings atomic.Pointer[[]binding] // replaced under mu, never changed
	mu       sync.Mutex
	closed   bool                // under mu: bindings and groups are final
	groups   map[string]struct{} // under mu: where it is a member
}

// user is who a client is.
type user struct {
	uid      string
	epoch    uint64
	features uint32
}

var errFull = errors.New("agent: as many clients as -maxconns allows")

// open makes the client of an accepted connection.
func (g *Gateway) open(s *cellnet.Session) (cellnet.Handler, error) {
	c := &client{g: g, session: s}
	if !g.slots.add(c) {
		return nil, errFull
	}
	s.SetReadDeadline(time.Now().Add(g.verifyTimeout)) // taken back when a backend has said who it is
	return c, nil
}

// Frame takes one message of the client: it holds it against its rule and
// passes it on unread.
func (c *client) Frame(b []byte) error {
	id := cellnet.MessageID(b)
	if id == pb.PingACKID {
		return c.session.Send(b, nil)
	}
	rule := c.g.rules.table.Load().Lookup(id)
	if no := c.check(rule, len(b)-2); no.code != pb.ResultCode_NoError {
		return c.refuse(id, no)
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
				c.flushLater(l)
			}
			return nil
		case errors.Is(err, cellnet.ErrFull):
			return c.refuse(id, refusal{pb.ResultCode_ServiceBusy, rule.Service + " does not keep up"})
		}
		l = c.rebind(rule, body, l)
	}
	return c.refuse(id, refusal{pb.ResultCode_ServiceUnavailable, "no " + rule.Service + " is there"})
}

// flushLater sees to it that what this client was first to append to l is
// written at the end of the batch.
func (c *client) flushLater(l *link.Link) {
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

// Closed tells exactly the backends that know the client.
func (c *client) Closed(reason error) {
	c.g.slots.remove(c)
	c.mu.Lock()
	c.closed = true
	groups := c.groups
	c.groups = nil
	c.mu.Unlock()
	c.g.groups.leaveAll(c, groups)
	for _, b := range c.bound() {
		b.link.Send(c.id, &pb.ClientClosed{Code: codeOf(reason), Reason: reason.Error()}) // fails only if the backend is gone too
	}
	why := label(reason)
	c.g.closes(why)
	uid := ""
	if u := c.user.Load(); u != nil {
		uid = u.uid
	}
	c.g.log.Debug("client closed", "uid", uid, "remote", c.session.RemoteAddr(), "why", why, "reason", reason)
}
