// Command benchmark measures memsd: how soon a registration is seen by all services, how soon a fresh client has the
// whole state, how soon all are back when memsd was killed, how much memory that takes, and how many durable writes a
// second there are, beside etcd on the same disk if it is installed (Debian: apt-get install etcd-server).
//
//	go run ./svc/memsd/benchmark            # about 40 seconds a run
//	go run ./svc/memsd/benchmark -runs=1 -services=0    # writes only
//
// It prints a table of medians over several runs, with the goals and whether they are met. memsd and etcd run as
// processes of their own, on loopback, with fsync; data lies on the disk of -dir.
//
// All clients are in this process, so with N services it does the work of N: on a machine with few cores that, and not
// memsd, is the limit. Its garbage collector, which would have N times the state of a service to look through, is off
// while something is timed.
//
// Open main.go first; cluster.go and writes.go have the two halves, package figures the table.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"time"

	"github.com/davyxu/cellmesh_demo/util/figures"
)

type options struct {
	memsd    string // program; empty: built from the sources
	etcd     string // program; empty: left out
	dir      string
	services int
	keys     int
	rounds   int
	runs     int
	duration time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.memsd, "memsd", "", "memsd program; empty: built from ./svc/memsd")
	flag.StringVar(&o.etcd, "etcd", "etcd", "etcd program to compare writes with; left out if it is not there")
	flag.StringVar(&o.dir, "dir", "", "folder for the data, on the disk to measure; empty: that for temporary files")
	flag.IntVar(&o.services, "services", 1000, "services, each with a connection and a complete state; 0: only writes are measured")
	flag.IntVar(&o.keys, "keys", 10000, "keys, with values of 32 bytes")
	flag.IntVar(&o.rounds, "rounds", 100, "registrations, and fresh clients, that are measured in a run")
	flag.IntVar(&o.runs, "runs", 3, "runs of everything")
	flag.DurationVar(&o.duration, "duration", 2*time.Second, "of each measurement of writes")
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
	fmt.Printf("machine  %s\ndisk     %s\n", figures.Machine(), disk(tmp))
	if path, err := exec.LookPath(o.etcd); err == nil {
		o.etcd = path
		fmt.Printf("etcd     %s, its defaults\n", etcdVersion(path))
	} else {
		o.etcd = ""
		fmt.Println("etcd     is not installed; writes are not compared")
	}
	fmt.Printf("clients  %d services with a connection each and %d keys; writers of values of 100 bytes for %v; %d runs\n\n", o.services, o.keys, o.duration, o.runs)
	var r figures.Table
	for i := range o.runs {
		dir := filepath.Join(tmp, fmt.Sprint(i))
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		if o.services > 0 {
			if err := measureCluster(ctx, o, dir, &r); err != nil {
				return err
			}
		}
		if err := measureWrites(ctx, o, dir, &r); err != nil {
			return err
		}
	}
	return r.Print(os.Stdout)
}

// times collects durations.
type times []time.Duration

func (t times) at(quantile float64) time.Duration {
	slices.Sort(t)
	return t[min(int(float64(len(t))*quantile), len(t)-1)]
}
