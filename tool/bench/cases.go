package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// figures are what one measurement found, by name.
type figures map[string]float64

// Names of figures. Latencies are in microseconds.
const (
	opsPerSec   = "ops_per_s"
	p50         = "p50_us"
	p99         = "p99_us"
	p99Rate     = "p99_at_rate_us"
	cpuPath     = "cpu_path_s_per_million" // processor time of the servers on the path
	cpuAll      = "cpu_all_s_per_million"  // of all servers
	cpuRobot    = "cpu_robot_cores"        // of the robot, processors busy
	bytesEach   = "bytes_per_connection"
	connections = "connections"
	agents      = "agents"
	cpuServers  = "cpu_servers_cores"
	cpuOthers   = "cpu_others_cores" // of everything else on this machine: what disturbed
)

// Sides that are measured.
const (
	ours  = "ours"
	relay = "relay"
	loop  = "loop"
	bare  = "bare"
	alone = "without" // ours, without the idle connections
)

// benchCase is one thing to measure.
type benchCase struct {
	name string
	does string
	// turns are taken one after the other in every run. Each starts what it
	// needs, records what it found under the name of a side, and stops it.
	turns []turn
	rows  []row
}

type turn func(ctx context.Context, b *bench, record func(side string, f figures)) error

// cases are all there is to measure.
func cases(o options) []benchCase {
	return []benchCase{
		echoCase(o, 1, 1, row{figure: p50, name: "p50", unit: micros, goal: 1.15}),
		echoCase(o, 100, 1, row{figure: opsPerSec, name: "ops/s", unit: count, goal: 0.9, least: true}),
		echoCase(o, 100, 16, row{figure: opsPerSec, name: "ops/s", unit: count, goal: 0.8, least: true}),
		echoCase(o, 1000, 1,
			row{figure: opsPerSec, name: "ops/s", unit: count, goal: 0.9, least: true},
			row{figure: p99, name: "p99", unit: micros, goal: 1.2}),
		echoCase(o, 5000, 1,
			row{figure: opsPerSec, name: "ops/s", unit: count, goal: 0.9, least: true},
			row{figure: p99, name: "p99", unit: micros, goal: 1.2}),
		idleCase(o, "tcp", 4<<10),
		idleCase(o, "ws", 6<<10),
		broadcastCase(),
		loginCase(o, 64),
		loginCase(o, 256),
		crowdCase(o),
	}
}

// echoCase is n connections with m requests under way each, through relay and
// through ours.
func echoCase(o options, n, m int, goals ...row) benchCase {
	c := benchCase{
		name: fmt.Sprintf("echo-%dx%d", n, m),
		does: fmt.Sprintf("%d connections, %d in flight: throughput, latency, processor time", n, m),
	}
	args := []string{"-scenario=echo", "-size=64", fmt.Sprint("-n=", n), fmt.Sprint("-inflight=", m)}
	if o.relay != "" {
		c.turns = append(c.turns, func(ctx context.Context, b *bench, record func(string, figures)) error {
			s, err := b.startRelay(ctx)
			if err != nil {
				return err
			}
			defer b.stopAll()
			f, err := b.play(ctx, s, "echo", args...)
			record(relay, f)
			return err
		})
	}
	c.turns = append(c.turns, func(ctx context.Context, b *bench, record func(string, figures)) error {
		s, err := b.startCluster(ctx, 1)
		if err != nil {
			return err
		}
		defer b.stopAll()
		f, err := b.play(ctx, s, "echo", args...)
		record(ours, f)
		return err
	})
	for _, r := range goals {
		r.over = relay
		c.rows = append(c.rows, r)
	}
	shown := map[string]bool{}
	for _, r := range c.rows {
		shown[r.figure] = true
	}
	for _, r := range []row{
		{figure: opsPerSec, name: "ops/s", unit: count}, {figure: p50, name: "p50", unit: micros}, {figure: p99, name: "p99", unit: micros},
		{figure: cpuPath, name: "server CPU s/million", unit: decimal, goal: 1.3}, {figure: cpuAll, name: "  with all servers", unit: decimal},
		{figure: cpuServers, name: "  cores busy, servers", unit: decimal}, {figure: cpuRobot, name: "  cores busy, robot", unit: decimal},
		{figure: cpuOthers, name: "  cores busy, others", unit: decimal},
	} {
		if !shown[r.figure] {
			r.over = relay
			c.rows = append(c.rows, r)
		}
	}
	return c
}

// broadcastCase is a line of chat to a thousand clients. One line is under way
// at a time, so that no two can share a write; the next leaves as soon as its
// speaker, one of the thousand, has heard the one before.
func broadcastCase() benchCase {
	args := []string{"-scenario=broadcast", "-size=64", "-n=1000", "-inflight=1"}
	return benchCase{
		name: "broadcast",
		does: "one client chats, 1,000 hear it; compared with a loop over 1,000 sockets",
		turns: []turn{
			func(ctx context.Context, b *bench, record func(string, figures)) error {
				s, err := b.startSelf(ctx, loop, "-noverify-token", "-agent")
				if err != nil {
					return err
				}
				defer b.stopAll()
				f, err := b.play(ctx, s, "deliver", args...)
				record(loop, f)
				return err
			},
			func(ctx context.Context, b *bench, record func(string, figures)) error {
				s, err := b.startCluster(ctx, 1)
				if err != nil {
					return err
				}
				defer b.stopAll()
				s.path = s.named("agent", "social")
				f, err := b.play(ctx, s, "deliver", args...)
				record(ours, f)
				return err
			},
		},
		rows: []row{
			{figure: opsPerSec, name: "deliveries/s", unit: count, over: loop, goal: 0.9, least: true},
			{figure: p99, name: "p99", unit: micros, over: loop},
			{figure: cpuPath, name: "server CPU s/million", unit: decimal, over: loop},
			{figure: cpuServers, name: "  cores busy, servers", unit: decimal, over: loop},
			{figure: cpuRobot, name: "  cores busy, robot", unit: decimal, over: loop},
			{figure: cpuOthers, name: "  cores busy, others", unit: decimal, over: loop},
		},
	}
}

// loginCase is full logins, one after the other by each of n clients. First logins,
// which enter the uid for good, are over when it begins: each robot has 50 uids.
func loginCase(o options, n int) benchCase {
	warmup := max(o.warmup, time.Duration(50*n)*time.Second/3000)
	args := []string{"-scenario=login", fmt.Sprint("-n=", n), fmt.Sprint("-warmup=", warmup)}
	side := func(name string, start func(context.Context, *bench) (*servers, error)) turn {
		return func(ctx context.Context, b *bench, record func(string, figures)) error {
			s, err := start(ctx, b)
			if err != nil {
				return err
			}
			defer b.stopAll()
			f, err := b.play(ctx, s, "login", args...)
			record(name, f)
			return err
		}
	}
	return benchCase{
		name: fmt.Sprint("login-", n),
		does: fmt.Sprintf("full logins, %d at a time; compared with a server that only accepts, signs and answers", n),
		turns: []turn{
			side(bare, func(ctx context.Context, b *bench) (*servers, error) { return b.startSelf(ctx, bare, "-login") }),
			side(ours, func(ctx context.Context, b *bench) (*servers, error) {
				s, err := b.startCluster(ctx, 1)
				if s != nil {
					s.path = s.named("login")
				}
				return s, err
			}),
		},
		rows: []row{
			{figure: opsPerSec, name: "logins/s", unit: count, over: bare, goal: 0.7, least: true},
			{figure: p50, name: "p50", unit: micros, over: bare},
			{figure: p99, name: "p99", unit: micros, over: bare},
			{figure: cpuPath, name: "server CPU s/million", unit: decimal, over: bare},
			{figure: cpuAll, name: "  with all servers", unit: decimal, over: bare},
			{figure: cpuServers, name: "  cores busy, servers", unit: decimal, over: bare},
			{figure: cpuRobot, name: "  cores busy, robot", unit: decimal, over: bare},
			{figure: cpuOthers, name: "  cores busy, others", unit: decimal, over: bare},
		},
	}
}

// choose are the cases of a comma separated list of names or beginnings.
func choose(all []benchCase, list string) ([]benchCase, error) {
	if list == "all" {
		return all, nil
	}
	wanted := map[string]bool{}
	for want := range strings.SplitSeq(list, ",") {
		exact := slices.ContainsFunc(all, func(c benchCase) bool { return c.name == want })
		found := false
		for _, c := range all {
			if c.name == want || !exact && want != "" && strings.HasPrefix(c.name, want) {
				wanted[c.name], found = true, true
			}
		}
		if !found {
			return nil, fmt.Errorf("-case: there is no case %q; -case=help lists them", want)
		}
	}
	var chosen []benchCase
	for _, c := range all {
		if wanted[c.name] {
			chosen = append(chosen, c)
		}
	}
	return chosen, nil
}

func listCases(out io.Writer) {
	for _, c := range cases(options{idle: 20_000, crowd: 50_000}) {
		fmt.Fprintf(out, "%-14s %s\n", c.name, c.does)
	}
}
