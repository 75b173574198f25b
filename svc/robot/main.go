// Command robot is thousands of scripted clients that measure a cluster and
// check what it promises. Its rooms are crew (the program), scenario (what robots
// can be told to do), player (what a scenario can use) and tally (what is
// counted); robotapi is the report.
package main

import (
	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/svc/robot/crew"
)

func main() { basefx.Main("robot", crew.New, basefx.Standalone) }
