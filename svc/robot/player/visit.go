package player

import (
	"context"

	"github.com/davyxu/cellmesh_demo/svc/client/clientapi"
)

// Visit is what a scenario that comes and goes can do, once each in this order.
// How long a step took counts as an operation of its name, an error by its code.
type Visit interface {
	// LogIn asks login: operation "login".
	LogIn(ctx context.Context) (clientapi.Grant, error)
	// Connect takes the grant to the agent and is verified: operation "connect".
	Connect(ctx context.Context, g clientapi.Grant) error
	// Leave closes that connection.
	Leave()
}
