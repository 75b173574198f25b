// Command benchmark measures hub: how many messages a second reach the
// subscribers of one channel when there are 1, 10 and 100, beside nats-server
// (Debian: apt-get install nats-server) if it is installed.
//
//	go run ./svc/hub/benchmark            # about 50 seconds
//	go run ./svc/hub/benchmark -nats=/usr/sbin/nats-server -runs=5
//
// Hub (with a memsd) and nats-server run as processes of their own, on loopback.
// Publisher and subscribers, a connection each, are in this process. They publish
// the same message body with the same bound on how far the slowest subscriber may
// be behind, so that nothing is lost. What is compared is servers: on both sides
// subscribers find the frames in what they read, and count them. Hub's publisher
// is hubapi's, that of nats writes to its socket as much as there is at a time,
// which is the least that can be done. A third line has subscribers of hubapi,
// with decoded messages and a queue each, as services use it.
//
// Open main.go first; load.go is what both sides have in common, hub.go and
// nats.go are the sides.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/davyxu/cellmesh_demo/util/figures"
)

type options struct {
	hub, memsd string // programs; empty: built from the sources
	nats       string // program; empty: left out
	size       int
	runs       int
	duration   time.Duration
}

// gcFloor is how much garbage this process may make before it is collected, as in
// every service (basefx.Main).
const gcFloor = 32 << 20

// fanOuts are the numbers of subscribers.
var fanOuts = [...]int{1, 10, 100}

func main() {
	var o options
	flag.StringVar(&o.hub, "hub", "", "hub program; empty: built from ./svc/hub")
	flag.StringVar(&o.memsd, "memsd", "", "memsd program; empty: built from ./svc/memsd")
	flag.StringVar(&o.nats, "nats", "nats-server", "nats-server program to compare with; left out if it is not there")
	flag.IntVar(&o.size, "size", 32, "bytes of text in a message")
	flag.IntVar(&o.runs, "runs", 3, "runs of everything")
	flag.DurationVar(&o.duration, "duration", 1500*time.Millisecond, "of each measurement")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "benchmark:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	tmp, err := os.MkdirTemp("", "hub-benchmark-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	for program, path := range map[string]*string{"hub": &o.hub, "memsd": &o.memsd} {
		if *path != "" {
			continue
		}
		*path = filepath.Join(tmp, program+".exe")
		cmd := exec.CommandContext(ctx, "go", "build", "-o", *path, "github.com/davyxu/cellmesh_demo/svc/"+program)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go build: %w\n%s", err, out)
		}
	}
	fmt.Printf("machine  %s\n", figures.Machine())
	if path, err := findNATS(o.nats); err == nil {
		o.nats = path
		version, _ := exec.Command(path, "--version").Output() // an empty one tells enough
		fmt.Printf("nats     %s, its defaults\n", strings.TrimSpace(string(version)))
	} else {
		o.nats = ""
		fmt.Println("nats     is not installed; nothing is compared")
	}
	fmt.Printf("load     1 publisher, texts of %d bytes, for %v; %d runs\n\n", o.size, o.duration, o.runs)
	floor := make([]byte, gcFloor)
	defer runtime.KeepAlive(floor)
	var t figures.Table
	for i := range o.runs {
		for _, n := range fanOuts {
			if err := measure(ctx, o, filepath.Join(tmp, fmt.Sprint(i, "-", n)), n, &t); err != nil {
				return err
			}
		}
	}
	return t.Print(os.Stdout)
}

// findNATS is the program's path; Debian keeps it where only root looks.
func findNATS(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil && !strings.ContainsRune(name, filepath.Separator) {
		path, err = exec.LookPath(filepath.Join("/usr/sbin", name))
	}
	return path, err
}

// measure is one run with n subscribers.
func measure(ctx context.Context, o options, dir string, n int, t *figures.Table) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	of := func(side string) string { return fmt.Sprintf("to %d: %s", n, side) }
	hub, err := measureHub(ctx, o, dir, n)
	if err != nil {
		return fmt.Errorf("hub: %w", err)
	}
	t.Add(of("hub"), "messages/s", hub.counting)
	t.Add(of("hub, handlers of hubapi"), "messages/s", hub.handling)
	if o.nats == "" {
		return nil
	}
	nats, err := measureNATS(ctx, o, n)
	if err != nil {
		return fmt.Errorf("nats: %w", err)
	}
	t.Add(of("nats-server"), "messages/s", nats)
	t.Add(of("hub to nats-server"), "times", hub.counting/nats).AtLeast(0.5)
	t.Add(of("handlers of hubapi to nats-server"), "times", hub.handling/nats).AtLeast(0.5)
	return nil
}
