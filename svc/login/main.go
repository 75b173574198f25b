// Command login is where clients come first: it finds out who they are, and
// tells them which agent and game to go to. Its rooms are desk (the program)
// and loginapi (tokens, for those who check them).
package main

import (
	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/svc/login/desk"
)

func main() { basefx.Main("login", desk.New) }
