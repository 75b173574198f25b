// Command benchmark measures memsd as the issue promises it: how soon a registration is seen by all services, how soon a
// fresh client has the whole state, how soon all are back when memsd was killed, how much memory that takes, and how many
// durable writes a second there are, beside etcd on the same disk if it is installed.
//
//	go run ./svc/memsd/benchmark -etcd=/usr/bin/etcd
//
// memsd and etcd run as processes of their own, on loopback, with fsync; the clients are all in this process. So with
// N services this process does the work of N: on a machine with few cores that, and not memsd, is the limit.
//
// Open main.go first; cluster.go and writes.go have the two halves.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"time"
)

type options struct {
	memsd    string // program; empty: built from the sources
	etcd     string // program; empty: left out
	dir      string
	services int
	keys     int
	rounds   int
	duration time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.memsd, "memsd", "", "memsd program; empty: built from ./svc/memsd")
	flag.StringVar(&o.etcd, "etcd", "", "etcd program to compare writes with; empty: none (Debian: apt-get install etcd-server)")
	flag.StringVar(&o.dir, "dir", "", "folder for the data, on the disk to measure; empty: a temporary one")
	flag.IntVar(&o.services, "services", 1000, "services, each with a connection and a complete state")
	flag.IntVar(&o.keys, "keys", 10000, "keys, with values of 32 bytes")
	flag.IntVar(&o.rounds, "rounds", 200, "registrations, and fresh clients, that are measured")
	flag.DurationVar(&o.duration, "duration", 5*time.Second, "of each measurement of writes")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "benchmark:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	tmp, err := os.MkdirTemp(o.dir, "memsd-benchmark-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if o.memsd == "" {
		o.memsd = filepath.Join(tmp, "memsd.exe")
		if err := build(ctx, o.memsd); err != nil {
			return err
		}
	}
	if o.services > 0 {
		if err := measureCluster(ctx, o, tmp); err != nil {
			return err
		}
	}
	return measureWrites(ctx, o, tmp)
}

// times collects durations.
type times []time.Duration

func (t times) at(quantile float64) time.Duration {
	slices.Sort(t)
	return t[min(int(float64(len(t))*quantile), len(t)-1)]
}

func (t times) String() string {
	return fmt.Sprintf("median %v, p99 %v, max %v (%d times)", round(t.at(0.5)), round(t.at(0.99)), round(t.at(1)), len(t))
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }

func line(what string, format string, args ...any) {
	fmt.Printf("%-44s %s\n", what, fmt.Sprintf(format, args...))
}
