package main

import (
	"context"
	"fmt"

	"github.com/davyxu/cellmesh_demo/svc/agent/route"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// push sets the route table in reg and says in one line what it did. It writes nothing when the
// table is there already.
func push(ctx context.Context, reg discovery.Registry, t *route.Table) (string, error) {
	text := string(route.Marshal(t))
	now, err := reg.Wait(ctx, 0)
	if err != nil {
		return "", err
	}
	if value, ok := now.Value(route.Key); ok && value == text {
		return fmt.Sprintf("unchanged: %d rules at revision %d", t.Len(), now.Revision()), nil
	}
	revision, err := reg.Apply(ctx, discovery.SetOp(route.Key, text))
	if err != nil {
		return "", fmt.Errorf("set %s: %w", route.Key, err)
	}
	return fmt.Sprintf("pushed %d rules at revision %d", t.Len(), revision), nil
}
