// Command social carries chat. Its room is chat.
package main

import (
	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/svc/social/chat"
)

func main() { basefx.Main("social", chat.New) }
