// Command agent is the gateway: it owns the clients' connections and carries
// their messages to the services that handle them, and back. Its rooms are
// gateway (start there), route (the rules), and agentapi (for backends).
package main

import (
	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/svc/agent/gateway"
)

func main() { basefx.Main("agent", gateway.New) }
