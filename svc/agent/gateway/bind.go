package gateway

import (
	"math/rand/v2"
	"time"

	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/agent/route"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// binding says which instance of a service handles a client's messages for it.
type binding struct {
	service string
	link    *link.Link
}

func (c *client) bound() []binding {
	if b := c.bindings.Load(); b != nil {
		return *b
	}
	return nil
}

// backend is the link for a message under rule: the one bound, or one chosen
// now. nil when no instance came within the hold time.
func (c *client) backend(rule *route.Rule, body []byte) *link.Link {
	var wished []byte // the instance that the client names, if the message can
	if rule.SvcIDField != 0 {
		wished, _ = route.StringField(body, rule.SvcIDField) // malformed: for the backend to refuse
	}
	for _, b := range c.bound() {
		if b.service == rule.Service && (wished == nil || b.link.ID == string(wished)) {
			return b.link
		}
	}
	return c.choose(rule.Service, string(wished), nil)
}

// rebind is backend after dead turned out to have ended.
func (c *client) rebind(rule *route.Rule, body []byte, dead *link.Link) *link.Link {
	for _, b := range c.bound() {
		if b.service == rule.Service && b.link != dead && b.link.Ended() == nil {
			return b.link // the backend has bound the client meanwhile
		}
	}
	return c.choose(rule.Service, dead.ID, dead)
}

// choose waits until an instance of service is linked, binds the client to it
// and introduces it. The wait holds up this client only: what it sends
// meanwhile waits in its socket.
func (c *client) choose(service, wished string, dead *link.Link) *link.Link {
	c.Batch() // nothing of this client may wait unwritten meanwhile
	deadline := time.NewTimer(c.g.hold)
	defer deadline.Stop()
	for {
		changed := c.g.links.Changed()
		if l := c.g.pick(service, wished, dead); l != nil {
			if !c.bind(service, l) {
				return nil // closed meanwhile
			}
			return l
		}
		select {
		case <-changed:
		case <-deadline.C:
			return nil
		case <-c.g.ctx.Done():
			return nil
		}
	}
}

// pick is the wished instance if it is linked, else any that discovery shows
// as ready, else any.
func (g *Gateway) pick(service, wished string, dead *link.Link) *link.Link {
	all := g.links.Named(service)
	snap := g.registry.Snapshot()
	var best *link.Link
	score, same := -1, 0
	for _, l := range all {
		if l == dead || l.Ended() != nil {
			continue
		}
		s := 0
		if svc, ok := snap.Service(l.ID); ok && svc.State == discovery.Ready {
			s = 1
		}
		if l.ID == wished {
			s = 2
		}
		switch {
		case s > score:
			best, score, same = l, s, 1
		case s == score: // each of the equals is as likely
			if same++; rand.IntN(same) == 0 {
				best = l
			}
		}
	}
	return best
}

// bind makes l the client's backend for service. A verified client is
// introduced on l, ahead of anything it sends there; the backend it leaves is
// told that it is gone.
func (c *client) bind(service string, l *link.Link) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	old := c.replace(service, l)
	if old != nil && old != l {
		old.Send(c.id, &pb.ClientClosed{Reason: "moved to " + l.ID}) // fails if it is gone: then it knows
	}
	if u := c.user.Load(); u != nil {
		l.Send(c.id, &pb.ClientOpen{Uid: u.uid, Epoch: u.epoch, Features: u.features, RemoteAddr: c.session.RemoteAddr().String()})
	}
	return true
}

// replace makes l the binding for service and returns the one before. The
// caller holds mu.
func (c *client) replace(service string, l *link.Link) (old *link.Link) {
	var next []binding
	for _, b := range c.bound() {
		if b.service == service {
			old = b.link
		} else {
			next = append(next, b)
		}
	}
	next = append(next, binding{service, l})
	c.bindings.Store(&next)
	return old
}

// bindBackend is a backend saying who the client is, and that it handles it.
func (g *Gateway) bindBackend(l *link.Link, id uint64, m *pb.BindBackendACK) error {
	c := g.slots.get(id)
	if c == nil {
		return nil // it has left, and Closed has told l
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.user.Store(&user{uid: m.Uid, epoch: m.Epoch, features: m.Features})
	c.session.SetReadDeadline(time.Time{})
	if old := c.replace(l.Name, l); old != nil && old != l {
		old.Send(c.id, &pb.ClientClosed{Reason: "moved to " + l.ID})
	}
	g.log.Debug("client bound", "uid", m.Uid, "epoch", m.Epoch, "backend", l.ID)
	return nil
}
