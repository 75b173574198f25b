package scenario

import (
	"context"

	"github.com/davyxu/cellmesh_demo/svc/robot/player"
)

// login logs in, and goes.
func login(ctx context.Context, v player.Visit) error {
	_, err := v.LogIn(ctx)
	return err
}

// storm enters the world, and leaves it.
func storm(ctx context.Context, v player.Visit) error {
	grant, err := v.LogIn(ctx)
	if err != nil {
		return err
	}
	if err := v.Connect(ctx, grant); err != nil {
		return err
	}
	v.Leave()
	return nil
}
