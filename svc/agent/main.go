// Command agent is the gateway: it owns the clients' connections and carries
// their messages to the services that handle them, and back. Its rooms are
// gateway (start there), route (the rules), and agentapi (for backends).
//
// With -explain=ChatREQ it tells which rule holds for a message, and ends.
package main

import (
	"os"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/svc/agent/gateway"
)

func main() {
	if gateway.Explains(os.Args[1:]) {
		basefx.Main("agent", gateway.NewExplainer, basefx.Standalone)
	}
	basefx.Main("agent", gateway.New)
}
