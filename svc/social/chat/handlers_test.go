package chat

import (
	"flag"
	"testing"

	"github.com/davyxu/cellmesh_demo/svc/agent/agentapi"
)

// Every message that the .proto files route to social has its handler, and
// there is none too much.
func TestHandlersAreComplete(t *testing.T) {
	s := New(flag.NewFlagSet("social", flag.ContinueOnError)).(*Social)
	if err := agentapi.Check("social", s.mux); err != nil {
		t.Error(err)
	}
}
