// Command hub carries messages between services by channel. Its rooms are
// broker (the program) and hubapi (for those who publish and subscribe).
package main

import (
	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/svc/hub/broker"
)

func main() { basefx.Main("hub", broker.New) }
