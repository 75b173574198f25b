// Bench measures this cluster beside a relay that does the same two hops and
// nothing else, on this machine, in one run, with one load generator (svc/robot)
// over one protocol; what counts are the ratios.
//
//	go build -o /tmp/relay ./relay                    # wherever the relay's source is
//	go run ./tool/bench -relay=/tmp/relay             # everything, some 20 minutes
//	go run ./tool/bench -relay=/tmp/relay -case=echo-100x1,broadcast -runs=3 -for=1s
//	go run ./tool/bench -case=help                    # what can be measured
//
// The relay is a foreign program with a gate and a backend:
//
//	relay -role backend -addr A -ackid 30690
//	relay -role gate -addr B -backend A
//
// Our side is memsd, hub, login, agent, game and social, each its own process,
// started anew for every measurement, in a folder of its own (-dir), and gone
// afterwards, also when bench is killed.
//
// # What the figures mean
//
// For every case and run the relay (or what else it is compared with) is started,
// measured and stopped, then the cluster, and so on: A B A B. A figure is the
// median of the runs; a ratio is that of the medians. The first second of load
// (-warmup) does not count. Rows with a goal tell whether it was reached.
//
//   - echo-NxM: N connections with M requests of 64 bytes under way each. ops/s and
//     latencies are as the robot sees them, so it needs processor time of its own,
//     which "robot CPU" states. Server CPU is what the processes on the path (gate
//     and backend; agent and game) have taken, user and system, in seconds per
//     million echoes; the line below it has memsd, hub, login and social in it too.
//     Others are what else ran on this machine: figures are good only if that is
//     next to nothing. A measurement that was disturbed (-calm) is repeated.
//   - idle-tcp, idle-ws: resident memory of agent (/proc/PID/statm) with so many
//     verified connections that only heartbeat, less that without them, divided
//     by their number; after its garbage has been collected and the figure stands
//     still. What the kernel needs for a socket is not in it.
//   - broadcast: one client chats, a thousand hear it. Compared with a loop in a
//     process of plain Go that writes each line, ready made, to a thousand sockets.
//   - login-N: N clients log in again and again: connect, LoginREQ, LoginACK, close;
//     at our login, platform demo, with everything it does for that, and at a
//     process that only accepts, signs one token of Ed25519 and answers.
//   - crowd: p99 of 100 clients that echo, with and without 50,000 connections that
//     heartbeat, from addresses 127.0.1.x, on as many agents as this system's limit
//     of open files asks for.
//
// Open cases.go first: what is measured, and what is to be reached (idle.go has
// the cases with idle connections). bench.go is the program; servers.go, loop.go
// and bare.go are what robots play against, robot.go is the robots, child.go any process;
// result.go makes the table. What only Linux has is in system_linux.go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// options are the command line.
type options struct {
	relay  string
	runs   int
	cases  string
	lasts  time.Duration
	warmup time.Duration
	json   string
	dir    string
	calm   float64
	idle   int
	crowd  int
	beat   time.Duration
	loop   string
	bare   string
}

func main() {
	runtime.LockOSThread() // children are told to die with the thread that started them
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, out, log io.Writer) int {
	var o options
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(log)
	fs.StringVar(&o.relay, "relay", "", "the relay program; without it there is nothing to compare echoes with")
	fs.IntVar(&o.runs, "runs", 5, "how often each case is measured")
	fs.StringVar(&o.cases, "case", "all", "what to measure, names or their beginnings, with commas; help lists them")
	fs.DurationVar(&o.lasts, "for", 3*time.Second, "how long each measurement takes")
	fs.DurationVar(&o.warmup, "warmup", time.Second, "how long robots play before it begins")
	fs.StringVar(&o.json, "json", "", "write all figures to this file")
	fs.StringVar(&o.dir, "dir", "", "folder for programs and logs; kept if given, else temporary and kept only if something fails")
	fs.Float64Var(&o.calm, "calm", 0.2, "measure again, a few times, when something else has kept more than so many processor cores busy")
	fs.IntVar(&o.idle, "idle", 20_000, "connections of the idle cases")
	fs.IntVar(&o.crowd, "crowd", 50_000, "idle connections of the case crowd")
	fs.DurationVar(&o.beat, "crowdbeat", 5*time.Second, "time between two heartbeats of an idle connection of the case crowd; 2-core machines spend most of the case on them")
	fs.StringVar(&o.loop, "loop", "", "be the server that case broadcast compares with, at this address (bench starts it by itself)")
	fs.StringVar(&o.bare, "bare", "", "be the server that case login compares with, at this address (bench starts it by itself)")
	if err := fs.Parse(args); err != nil {
		return 2
	}
	if fs.NArg() > 0 || o.runs < 1 || o.lasts <= 0 || o.warmup < 0 || o.calm <= 0 || o.idle < 1 || o.crowd < 1 {
		fmt.Fprintln(log, "bench: what is", strings.Join(args, " "), "to mean? -h tells what there is")
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	switch {
	case o.loop != "":
		var l net.Listener
		if l, err = net.Listen("tcp", o.loop); err == nil {
			err = serveLoop(l)
		}
	case o.bare != "":
		var l net.Listener
		if l, err = net.Listen("tcp", o.bare); err == nil {
			err = serveBare(l)
		}
	case o.cases == "help":
		listCases(out)
	default:
		err = measure(ctx, o, out, log)
	}
	if err != nil {
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			err = errors.New("interrupted")
		}
		fmt.Fprintln(log, "bench:", err)
		return 1
	}
	return 0
}
