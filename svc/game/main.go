// Command game is where players play. Its room is world.
package main

import (
	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/svc/game/world"
)

func main() { basefx.Main("game", world.New) }
