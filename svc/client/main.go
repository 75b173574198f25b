// Command client is for a person at a terminal, or a script in a pipe. Its rooms
// are console (the program) and clientapi (the client protocol).
package main

import (
	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/svc/client/console"
)

func main() { basefx.Main("client", console.New, basefx.Standalone) }
