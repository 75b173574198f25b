package world

import (
	"flag"
	"testing"

	"github.com/davyxu/cellmesh_demo/svc/agent/agentapi"
)

// Every message that the .proto files route to the game has its handler, and
// there is none too much.
func TestHandlersAreComplete(t *testing.T) {
	w := New(flag.NewFlagSet("game", flag.ContinueOnError)).(*World)
	if err := agentapi.Check("game", w.gate, w.play, w.grow); err != nil {
		t.Error(err)
	}
}
