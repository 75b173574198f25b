package basefx

import (
	"context"

	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// Bind returns configuration that follows the values in discovery for as long
// as the process runs; see [discovery.Bind] for key and def. changed, if not
// nil, is called after every change. For Start only.
func Bind[T any](a *App, key string, def T, changed func(*T)) (*discovery.Config[T], error) {
	c, err := discovery.Bind(a.Registry, key, def, a.Logger("config"))
	if err != nil {
		return nil, err
	}
	a.Go("config", func(ctx context.Context) error {
		c.Run(ctx, changed)
		return nil
	})
	return c, nil
}
