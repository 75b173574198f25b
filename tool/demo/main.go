package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/peterbourgon/ff/v3" // flags over environment, as in every program of this project
)

// exitInterrupted is the exit code when a person stopped the demo before the
// client was there.
const exitInterrupted = 130

// options are the launcher's flags.
type options struct {
	dir      string
	counts   map[string]int // how many of each program, if not one
	robots   int            // how many play
	uid      string         // for the client, if not empty
	commType string
}

func parseOptions(args []string, out io.Writer) (options, error) {
	var o options
	fs := flag.NewFlagSet("demo", flag.ContinueOnError)
	fs.SetOutput(out)
	fs.StringVar(&o.dir, "dir", ".demo", "folder of the logs and of everything that is to survive, in the project's folder if relative")
	agents := fs.Int("agents", 1, "how many agents to start")
	games := fs.Int("games", 1, "how many games to start")
	socials := fs.Int("socials", 1, "how many socials to start")
	fs.IntVar(&o.robots, "robots", 0, "how many robots play along, so that the world is alive")
	fs.StringVar(&o.uid, "uid", "", "who to be in the client; empty leaves it to the client")
	fs.StringVar(&o.commType, "commtype", "tcp", "how the client connects: tcp or ws (WebSocket)")
	if err := ff.Parse(fs, args, ff.WithEnvVarPrefix("CELLMESH")); err != nil {
		return o, err
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("%q is not a flag: write flags as -name=value (see -h)", fs.Arg(0))
	}
	o.counts = map[string]int{"agent": *agents, "game": *games, "social": *socials}
	for name, n := range o.counts {
		if n < 1 || n > 100 {
			return o, fmt.Errorf("-%ss=%d: 1 to 100 can be started", name, n)
		}
	}
	if o.robots < 0 || o.robots > 10_000 {
		return o, fmt.Errorf("-robots=%d: 0 to 10000 can play along", o.robots)
	}
	if o.commType != "tcp" && o.commType != "ws" {
		return o, fmt.Errorf("-commtype=%s is not tcp or ws", o.commType)
	}
	return o, nil
}

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) (exitCode int) {
	o, err := parseOptions(args, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(os.Stderr, "demo:", err)
		return 2
	}
	ctx, hurry, release := untilStopped()
	defer release()
	say := newTeller(os.Stderr)
	code, err := launch(ctx, hurry, o, say)
	switch {
	case errors.Is(err, errStopped):
		say.line("demo: %v", err)
		return exitInterrupted
	case err != nil:
		say.line("demo: %v", err)
		return 1
	}
	return code
}

// errStopped is why the demo stops when a person, or whoever started it, wants
// it to; what is wrapped around it says how that was told.
var errStopped = errors.New("stopped")

// errTerminal is errStopped by a signal that a terminal sends to the client
// too.
var errTerminal = fmt.Errorf("%w by Ctrl-C", errStopped)

// untilStopped returns a context that ends, with a cause, at the first signal
// or when whoever started the launcher is gone, and a channel that is closed
// at the second signal.
func untilStopped() (ctx context.Context, hurry <-chan struct{}, release func()) {
	ctx, stop := context.WithCancelCause(context.Background())
	now := make(chan struct{})
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() { // lives as long as the process
		if s := <-signals; s == os.Interrupt {
			stop(errTerminal)
		} else {
			stop(fmt.Errorf("%w by signal: %v", errStopped, s))
		}
		<-signals
		close(now)
	}()
	go watchStarter(ctx, func() { stop(fmt.Errorf("%w: go run is gone", errStopped)) })
	return ctx, now, func() { stop(nil) }
}
