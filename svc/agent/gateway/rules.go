package gateway

import (
	"context"

	"github.com/davyxu/cellmesh_demo/svc/agent/route"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// needRules holds the agent back until there are rules.
func (g *Gateway) needRules(snap *discovery.Snapshot) string {
	if g.rules.Load() != nil {
		return ""
	}
	if _, ok := snap.Value(route.Key); !ok {
		return "memsd has no route rules: cd proto && sh ./MakeProto.sh"
	}
	return "the route rules in memsd are refused, see above: cd proto && sh ./MakeProto.sh"
}

// followRules puts every new route table in place of the old one, as a whole.
// One that is refused, or deleted, leaves the old one in force.
func (g *Gateway) followRules(ctx context.Context) error {
	current := ""
	for rev := uint64(0); ; {
		snap := g.registry.Snapshot()
		if text, ok := snap.Value(route.Key); ok && text != current {
			current = text
			if table, err := route.Parse([]byte(text)); err != nil {
				g.log.Error("route rules refused, the old ones stay in force", "key", route.Key, "revision", snap.Revision(), "err", err)
			} else {
				g.rules.Store(table)
				g.log.Info("route rules in force", "rules", table.Len(), "revision", snap.Revision())
			}
		}
		rev = snap.Revision()
		if _, err := g.registry.Wait(ctx, rev); err != nil {
			return nil // ctx is done, or the registry closed
		}
	}
}
