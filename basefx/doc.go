// Package basefx is this project's framework: it takes one process from its
// flags to its drain.
//
// A program is a [Service] and a main of one line:
//
//	func main() { basefx.Main("game", game.New) }
//
// [Run] (run.go, open it first) does the rest in a fixed order: flags, log,
// operators' endpoint, discovery, the service's own Start, links to what it
// needs, ready; and at the end: leave the registry, drain, close. What a
// service can ask for meanwhile are the methods of [App] (app.go). The links
// between services are package link.
package basefx
