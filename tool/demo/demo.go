package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// demo is one run of the launcher.
type demo struct {
	options
	root     string // of the project
	home     string // options.dir, absolute
	bin      string // where the programs are built
	programs []string
	say      *teller
	hurry    <-chan struct{} // closed: no more patience
	died     context.CancelCauseFunc

	memsd                   *process
	memsdAddr, memsdMetrics string
	reg                     *discovery.Client

	mu       sync.Mutex
	phase    phase
	children []*process // all that were started, the client excepted
}

// phase says what the death of a child means.
type phase int

const (
	trying   phase = iota // memsd alone is up, and looked after
	starting              // the end of the demo
	serving               // news
	stopping              // as wanted
)

// launch is the demo from beginning to end.
func launch(ctx context.Context, hurry <-chan struct{}, o options, say *teller) (exitCode int, err error) {
	d := &demo{options: o, say: say, hurry: hurry}
	if d.root, err = projectRoot(); err != nil {
		return 0, err
	}
	if d.home = o.dir; !filepath.IsAbs(d.home) {
		d.home = filepath.Join(d.root, d.home)
	}
	d.bin = filepath.Join(d.home, "bin")
	if err := makeHome(d.home); err != nil {
		return 0, fmt.Errorf("-dir: %w", err)
	}
	unlock, err := lock(d.home, o.dir)
	if err != nil {
		return 0, err
	}
	defer unlock()
	if d.programs, err = findPrograms(d.root); err != nil {
		return 0, err
	}
	wanted := d.programs
	if o.robots > 0 {
		wanted = append(slices.Clone(wanted), robot)
	}
	if err := build(ctx, d.root, d.bin, wanted, say); err != nil {
		return 0, stopCause(ctx, err)
	}

	defer d.stop(ctx)
	begin := time.Now()
	if err := d.start(ctx); err != nil {
		return 0, err
	}
	say.line("everything is ready after %v", time.Since(begin).Round(10*time.Millisecond))
	if err := d.startRobots(); err != nil {
		return 0, err
	}
	d.table()
	return d.client(ctx)
}

// makeHome makes the folder for everything that the demo leaves, none of which
// is for git, wherever it is.
func makeHome(home string) error {
	if err := os.MkdirAll(filepath.Join(home, "log"), 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(home, ".gitignore"), []byte("*\n"), 0o644)
}

// lock makes this the only demo in its folder, until unlock or the end of the
// process.
func lock(home, shown string) (unlock func(), err error) {
	l := flock.New(filepath.Join(home, "lock"))
	ok, err := l.TryLock()
	if err != nil {
		return nil, fmt.Errorf("-dir: %w", err)
	}
	if !ok {
		return nil, fmt.Errorf("another demo is running in %s: end it, or name another folder, as with -dir=.demo2", shown)
	}
	return func() { _ = l.Unlock() }, nil // the end of the process does it, too
}

// start starts everything but the client and waits until it is ready.
func (d *demo) start(ctx context.Context) (err error) {
	ctx, d.died = context.WithCancelCause(ctx)
	defer d.died(nil)
	defer func() { err = stopCause(ctx, err) }()
	if err := d.startMemsd(ctx); err != nil {
		return err
	}
	if err := d.setPhase(starting); err != nil {
		return err
	}
	if err := d.pushRoutes(ctx); err != nil {
		return err
	}
	for _, name := range d.programs {
		if name == "memsd" || name == "client" {
			continue
		}
		for i := range max(1, d.counts[name]) {
			args := []string{"-sdaddr=" + d.memsdAddr, fmt.Sprintf("-svcindex=%d", i)}
			if name == "login" || name == "game" || name == "social" {
				args = append(args, "-database=sqlite:"+filepath.Join(d.home, "cellmesh.db"))
			}
			if _, err := d.spawn(fmt.Sprintf("%s-%d", name, i), name, args...); err != nil {
				return err
			}
		}
	}
	if err := d.waitReady(ctx); err != nil {
		return err
	}
	return d.setPhase(serving)
}

// startRobots has robots play until the demo ends. What they find out is in their
// log.
func (d *demo) startRobots() error {
	if d.robots == 0 {
		return nil
	}
	_, err := d.spawn("robots", robot, "-sdaddr="+d.memsdAddr, "-scenario=play", fmt.Sprint("-n=", d.robots), "-for=0", "-progress=none")
	return err
}

// setPhase changes what the death of a child means. A death that the phase
// before may not have noticed is the error.
func (d *demo) setPhase(next phase) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.phase = next
	for _, p := range d.children {
		if p.over {
			return p.obituary()
		}
	}
	return nil
}

// services are the processes that register.
func (d *demo) services() []*process {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(d.children), func(p *process) bool { return p == d.memsd })
}

// stopCause is why ctx has ended, if it has; else err.
func stopCause(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	}
	return err
}
