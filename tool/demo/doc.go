// Demo runs the whole server on this machine, as separate processes, and puts
// the client on this terminal:
//
//	go run ./tool/demo                            # one of each
//	go run ./tool/demo -agents 2 -games 2         # more of some
//	go run ./tool/demo -robots 50                 # a world that is alive
//	printf 'hello\n' | go run ./tool/demo         # a script: its lines come back on standard output
//
// Every folder svc/<name> with a main.go is a program; robot only with -robots.
// They are built (go run is silent while it builds this launcher; then there is
// something to see), memsd is started, the route rules are pushed, everything
// else is started at once (they wait for each other by themselves), and the
// robots and the client last. Ctrl-C, the end of input or /quit stops all of it; Ctrl-C twice
// is now. Standard output has the client's lines alone.
//
// What the programs write lies in .demo (-dir for another folder) and is there
// again at the next run: memsd's data, and the logs. The folder is every
// process's working directory, so nothing else of the project is touched.
// memsd takes a free port, so a demo is in nobody's way: neither another demo
// with another -dir, nor a memsd that runs by hand.
//
// No process stays behind, whatever happens to the launcher: it holds the
// other end of each one's standard input, and they stop when that ends
// (-lifeline). The client stops when its server does. When "go run" is killed
// and the launcher is not, it notices and stops.
//
// A process that dies while things start is the end of the demo: exit code 1,
// after the last lines of its log. One that dies later is told with the last
// lines of its log and with the command that starts it again by hand; the rest
// goes on. The exit code is the client's.
//
// Open demo.go first: it is the whole in order. process.go is one child
// process and how it ends; group_*.go and orphan_*.go are what systems do
// differently.
package main
