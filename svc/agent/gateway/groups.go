package gateway

import (
	"sync"

	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/proto/pb"
)

// groups are the groups that backends have put clients into. Membership lives
// here, where fan-out happens: a backend sends to a group once per agent, and
// may die without the group noticing.
type groups struct {
	mu     sync.RWMutex
	byName map[string]map[*client]struct{}
}

// each calls f for every member of a group.
func (gs *groups) each(name []byte, f func(*client)) {
	gs.mu.RLock()
	defer gs.mu.RUnlock()
	for c := range gs.byName[string(name)] {
		f(c)
	}
}

func (gs *groups) join(name string, c *client) {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	if gs.byName == nil {
		gs.byName = map[string]map[*client]struct{}{}
	}
	if gs.byName[name] == nil {
		gs.byName[name] = map[*client]struct{}{}
	}
	gs.byName[name][c] = struct{}{}
}

func (gs *groups) leave(name string, c *client) {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	delete(gs.byName[name], c)
	if len(gs.byName[name]) == 0 {
		delete(gs.byName, name)
	}
}

func (gs *groups) leaveAll(c *client, names map[string]struct{}) {
	for name := range names {
		gs.leave(name, c)
	}
}

// maxGroups is how many groups one client may be in.
const maxGroups = 256

// clientJoin is a backend putting a verified client into a group.
func (g *Gateway) clientJoin(l *link.Link, id uint64, m *pb.ClientJoin) error {
	if m.Group == "" || len(m.Group) > link.MaxGroup {
		g.log.Error("join refused: a group's name has 1 to 255 bytes", "backend", l.ID, "bytes", len(m.Group))
		return nil
	}
	c := g.slots.get(id)
	if c == nil || c.user.Load() == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	if _, in := c.groups[m.Group]; !in && len(c.groups) >= maxGroups {
		g.log.Warn("client is in too many groups, join refused", "uid", c.user.Load().uid, "group", m.Group, "backend", l.ID)
		return nil
	}
	if c.groups == nil {
		c.groups = map[string]struct{}{}
	}
	c.groups[m.Group] = struct{}{}
	g.groups.join(m.Group, c)
	return nil
}

// clientLeave is a backend taking a client out of a group.
func (g *Gateway) clientLeave(_ *link.Link, id uint64, m *pb.ClientLeave) error {
	c := g.slots.get(id)
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		delete(c.groups, m.Group)
		g.groups.leave(m.Group, c)
	}
	return nil
}
