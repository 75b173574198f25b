package gateway

import (
	"maps"
	"math/rand/v2"
	"slices"
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

// boundTo is the link that service is bound to, nil if it is not.
func (c *client) boundTo(service string) *link.Link {
	for _, b := range c.bound() {
		if b.service == service {
			return b.link
		}
	}
	return nil
}

// backend is the link for a message under rule: the one bound, or one chosen
// now. nil when no instance came within the hold time.
func (c *client) backend(rule *route.Rule, body []byte) *link.Link {
	l := c.boundTo(rule.Service)
	if rule.SvcIDField != 0 && c.user.Load() == nil {
		// The instance that the client names. Once it is verified this no longer
		// counts: a client must not move itself to a backend that did not check it.
		if wished, _ := route.StringField(body, rule.SvcIDField); len(wished) > 0 && (l == nil || l.ID != string(wished)) {
			return c.choose(rule.Service, string(wished), nil)
		}
	}
	if l == nil {
		return c.choose(rule.Service, "", nil)
	}
	return l
}

// pick is the wished instance if it is linked, else of those that discovery
// shows as ready the one with the fewest of our clients, else any. A patient caller gets nobody else while the wished one is
// about to be linked. With nil it says what is missing.
func (g *Gateway) pick(service, wished string, dead *link.Link, patient bool) (best *link.Link, missing string) {
	snap := g.registry.Snapshot()
	score, crowd, same := -1, 0, 0
	for _, l := range g.links.Named(service) {
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
		n := g.crowds.of(l)
		switch {
		case s > score || s == score && n < crowd:
			best, score, crowd, same = l, s, n, 1
		case s == score && n == crowd: // each of the equals is as likely
			if same++; rand.IntN(same) == 0 {
				best = l
			}
		}
	}
	if score < 2 && patient {
		if svc, ok := snap.Service(wished); ok && svc.Name == service && svc.Addr != "" && g.app.Allows(svc) {
			return nil, wished
		}
	}
	return best, service
}

// bind makes l the client's backend for service and returns it. A verified
// client is introduced on l, ahead of anything it sends there; the backend it
// leaves is told that it is gone. nil when the client has closed meanwhile.
func (c *client) bind(service string, l, dead *link.Link) *link.Link {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	u, old := c.user.Load(), c.boundTo(service)
	if u != nil && old != nil && old != dead && old.Ended() == nil {
		return old // it was verified while we waited for another
	}
	if old != nil && old != l {
		old.Send(c.id, &pb.ClientClosed{Reason: "moved to " + l.ID}) // fails if it is gone: then it knows
	}
	if u != nil {
		c.introduce(l, u) // fails if l has ended: then so does what follows
	}
	c.replace(service, l)
	return l
}

// introduce tells the backend at l who the client is. The caller holds mu.
func (c *client) introduce(l *link.Link, u *user) {
	l.Send(c.id, c.introduction(u))
}

// introduction is what a backend is told about the client. The caller holds mu.
func (c *client) introduction(u *user) *pb.ClientOpen {
	return &pb.ClientOpen{
		Uid: u.uid, Epoch: u.epoch, Features: u.features, Name: u.name,
		RemoteAddr: c.session.RemoteAddr().String(), Groups: slices.Sorted(maps.Keys(c.groups)),
	}
}

// replace makes l the binding for service. The caller holds mu.
func (c *client) replace(service string, l *link.Link) {
	next := make([]binding, 1, len(c.bound())+1)
	next[0] = binding{service, l}
	var old *link.Link
	for _, b := range c.bound() {
		if b.service != service {
			next = append(next, b)
		} else {
			old = b.link
		}
	}
	c.bindings.Store(&next)
	c.g.crowds.move(old, l)
}

// bindBackend is a backend saying who the client is, and that it handles it.
// Only the one that the agent has chosen may: another has been told that the
// client is gone, and this was said before it heard. Of two logins of one uid
// the older one's client is closed.
func (g *Gateway) bindBackend(l *link.Link, id uint64, m *pb.BindBackendACK) error {
	c := g.slots.get(id)
	if c == nil {
		return nil // it has left, and Closed has told l
	}
	if ban, is := g.bans.Banned(m.Uid); is {
		g.log.Debug("binding refused: banned", "uid", m.Uid, "backend", l.ID)
		c.session.Close(bannedFor(ban))
		return nil
	}
	if ended := g.bindUser(c, l, m); ended != nil {
		g.log.Debug("logged in elsewhere", "uid", m.Uid, "backend", l.ID)
		ended.session.Close(elsewhere)
	}
	if ban, is := g.bans.Banned(m.Uid); is { // meanwhile, and the ban may not have found the client
		c.session.Close(bannedFor(ban))
	}
	return nil
}

// bindUser makes c the client of the uid; ended is the client, c or another,
// that is the uid's no longer.
func (g *Gateway) bindUser(c *client, l *link.Link, m *pb.BindBackendACK) (ended *client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	u := c.user.Load()
	switch {
	case c.closed:
		return nil
	case c.boundTo(l.Name) != l:
		g.log.Debug("binding by a backend that is not the client's refused", "uid", m.Uid, "epoch", m.Epoch, "backend", l.ID)
		return nil
	case m.Uid == "", u != nil && (u.uid != m.Uid || u.epoch > m.Epoch):
		g.log.Error("binding refused: the client is somebody else, or a newer login", "uid", c.uid(), "backend", l.ID, "wants", m.Uid, "epoch", m.Epoch)
		return nil
	}
	older, ok := g.users.enter(c, m.Uid, m.Epoch, time.Now())
	if !ok {
		return c
	}
	before := u
	u = &user{uid: m.Uid, name: m.Name, epoch: m.Epoch, features: m.Features}
	for _, b := range c.bound() {
		if b.link != l { // knew an unverified client
			c.introduce(b.link, u)
		}
	}
	g.kinds.of(u.features).Add(1)
	c.features.Store(u.features)
	c.user.Store(u) // from here on the client's auth messages pass, behind the introductions
	if before != nil {
		g.kinds.of(before.features).Add(-1)
	}
	c.session.SetReadDeadline(noDeadline)
	g.feeds.changed(m.Uid, 0)
	g.greetings.verified(c)
	g.log.Debug("client bound", "uid", m.Uid, "epoch", m.Epoch, "backend", l.ID)
	return older
}
