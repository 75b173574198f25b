// Command hub carries messages between services by channel, and knows how all of
// them are doing. Its rooms are broker (the program), hubapi (for those who publish
// and subscribe) and board (the cluster as a table); benchmark measures it.
package main

import (
	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/svc/hub/broker"
)

func main() { basefx.Main("hub", broker.New) }
