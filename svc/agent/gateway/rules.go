package gateway

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/davyxu/cellmesh_demo/svc/agent/route"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// rules is the route table in force, and the text it was last offered.
type rules struct {
	table atomic.Pointer[route.Table] // replaced whole; never nil, but empty before the first good one

	mu       sync.Mutex
	offered  string
	revision uint64 // of the snapshot it came from
}

// needRules holds the agent back until there are rules. It does not wait for
// followRules: nobody would ask again when that has taken them.
func (g *Gateway) needRules(snap *discovery.Snapshot) string {
	if _, ok := snap.Value(route.Key); !ok {
		return "memsd has no route rules: cd proto && sh ./MakeProto.sh"
	}
	if g.takeRules(snap); g.rules.table.Load().Len() == 0 {
		return "the route rules in memsd are refused, see above, or there is none: cd proto && sh ./MakeProto.sh"
	}
	return ""
}

// followRules puts every new route table in place of the old one, as a whole.
func (g *Gateway) followRules(ctx context.Context) error {
	for {
		snap := g.registry.Snapshot()
		g.takeRules(snap)
		if _, err := g.registry.Wait(ctx, snap.Revision()); err != nil {
			return nil // ctx is done, or the registry closed
		}
	}
}

// takeRules puts the table of snap in force, if it is new. One that is refused,
// or deleted, leaves the old one in force.
func (g *Gateway) takeRules(snap *discovery.Snapshot) {
	g.rules.mu.Lock()
	defer g.rules.mu.Unlock()
	text, ok := snap.Value(route.Key)
	if !ok || text == g.rules.offered || snap.Revision() < g.rules.revision {
		return
	}
	g.rules.offered, g.rules.revision = text, snap.Revision()
	table, err := route.Parse([]byte(text))
	if err != nil {
		g.log.Error("route rules refused, the old ones stay in force", "key", route.Key, "revision", snap.Revision(), "err", err)
		return
	}
	for _, name := range backends(table) {
		g.links.Dial(name)
	}
	g.rules.table.Store(table)
	g.log.Info("route rules in force", "rules", table.Len(), "revision", snap.Revision())
}

// backends are the services that clients' messages go to, but for the agent
// itself.
func backends(t *route.Table) []string {
	var names []string
	for _, r := range t.Rules() {
		if r.Access != route.Blocked && r.Service != "agent" && !slices.Contains(names, r.Service) {
			names = append(names, r.Service)
		}
	}
	return names
}

// needLinks holds the agent back until it is linked to every backend that
// discovery shows: a client it is given may talk to any of them at once.
func (g *Gateway) needLinks(snap *discovery.Snapshot) string {
	for _, name := range backends(g.rules.table.Load()) {
		for svc := range snap.Services(name) {
			if svc.Addr != "" && g.app.Allows(svc) && g.links.Get(svc.ID) == nil {
				if trouble := g.links.Trouble(name); trouble != "" {
					return "cannot link to " + name + ": " + trouble
				}
				return "linking to " + svc.ID
			}
		}
	}
	return ""
}
