package gateway

import (
	"errors"
	"slices"
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

	// Shared. It stands here because a message for all looks at it and the above of
	// every client.
	user      atomic.Pointer[user]      // nil before a backend has said who it is; stored under mu
	features  atomic.Uint32             // those of user, beside it for who looks at all clients; stored before it
	announced atomic.Uint32             // features, as VerifyREQ has them
	bindings  atomic.Pointer[[]binding] // replaced under mu, never changed
	mu        sync.Mutex                // before that of groups, links and sessions

	// Owned by the goroutine that reads the session.
	dirty      []*link.Link // have messages of this client that nobody else will flush
	ponged     bool         // the session has an answer that nobody else will flush
	buckets    []bucket     // of messages with a rate
	passed     bool         // the message comes for the second time: it has been held against its rule
	violations int          // refusals since
	since      time.Time

	closed bool                // under mu: bindings and groups are final
	groups map[string]struct{} // under mu: where it is a member
}

// user is who a client is.
type user struct {
	uid      string
	name     string // the player's, "" before somebody has said it
	epoch    uint64
	features uint32
}

// uid is who the client is, "" before that is known.
func (c *client) uid() string {
	if u := c.user.Load(); u != nil {
		return u.uid
	}
	return ""
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
// passes it on unread. Two messages the agent knows by name: PingACK, which it
// answers, and VerifyREQ (features.go).
func (c *client) Frame(b []byte) error {
	id := cellnet.MessageID(b)
	if c.g.msgs.Enabled(id) {
		c.g.msgs.Log("from client", id, len(b)-2, "uid", c.uid(), "client", c.id)
	}
	rule := c.g.rules.table.Load().Lookup(id)
	switch id {
	case pb.PingACKID:
		return c.pong(rule, b)
	case pb.VerifyREQID:
		c.readFeatures(b[2:])
	}
	passed := c.passed && rule != nil // rules may have changed meanwhile
	c.passed = false
	if !passed {
		if no := c.check(rule, len(b)-2); no.code != pb.ResultCode_NoError {
			return c.refuse(id, no)
		}
	}
	return c.relay(rule, id, b[2:])
}

// pong answers a heartbeat with the same. It needs no rule, but if there is one
// its limits hold.
func (c *client) pong(rule *route.Rule, b []byte) error {
	if rule != nil {
		if no := c.check(rule, len(b)-2); no.code != pb.ResultCode_NoError {
			return c.refuse(pb.PingACKID, no)
		}
	}
	first, err := c.session.Append(b[:2], nil)
	c.ponged = c.ponged || first
	return err
}

// relay appends a message to the link of the backend that is bound for it.
func (c *client) relay(rule *route.Rule, id uint16, body []byte) error {
	for l := c.backend(rule, body); l != nil; l = c.choose(rule.Service, l.ID, l) {
		first, err := l.Append(link.ToClient, c.id, id, body)
		switch {
		case err == nil:
			if first && !slices.Contains(c.dirty, l) {
				c.dirty = append(c.dirty, l)
			}
			return nil
		case errors.Is(err, cellnet.ErrFull):
			return c.refuse(id, refusal{pb.ResultCode_ServiceBusy, rule.Service + " does not keep up"})
		}
	}
	if c.passed {
		return cellnet.ErrBlocks
	}
	return c.refuse(id, refusal{pb.ResultCode_ServiceUnavailable, "no " + rule.Service + " is there"})
}

// Batch writes what the messages just handled have caused. Others rely on it:
// what they append behind us leaves with it. So nothing may wait between
// Append and Batch.
func (c *client) Batch() {
	for i, l := range c.dirty {
		l.Flush()
		c.dirty[i] = nil
	}
	c.dirty = c.dirty[:0]
	if c.ponged {
		c.ponged = false
		c.session.Flush()
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
	c.g.users.leave(c)
	if u := c.user.Load(); u != nil {
		c.g.kinds.of(u.features).Add(-1)
		c.g.feeds.changed(u.uid, u.epoch)
	}
	for _, b := range c.bound() {
		c.g.crowds.move(b.link, nil)
		b.link.Send(c.id, &pb.ClientClosed{Code: codeOf(reason), Reason: reason.Error()}) // fails only if the link has ended: then the backend knows
	}
	why := label(reason)
	c.g.closes(why)
	c.g.log.Debug("client closed", "uid", c.uid(), "remote", c.session.RemoteAddr(), "why", why, "reason", reason)
}
