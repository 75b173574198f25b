// Command memsd is the discovery daemon: every process of the cluster registers with it and follows what changes.
// With -cmd it asks a running memsd instead. The server is in package server, the commands are in package command,
// daemon.go here makes a program of them.
package main

import "github.com/davyxu/cellmesh_demo/basefx"

func main() { basefx.Main("memsd", newDaemon, basefx.Standalone, basefx.Arguments) }
