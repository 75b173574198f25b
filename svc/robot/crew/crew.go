// Package crew is the robot program: it gets robots in, has them play for a
// while and tells how it went.
//
// crew.go is the program and its phases, flags.go its command line. enter.go is
// how a robot gets in and returns.go how it comes back; guest.go are those that do
// not play, visits.go those that come and go; source.go is from which addresses.
// watch.go measures while they play and progress.go tells it; report.go is what is
// told at the end, plot.go the same as a page, ledger.go what the game's ledger says
// about it. What only some systems have is in the files named after them.
//
// On a machine of 2 cores, 10,000 connections that only heartbeat take 12 kB and
// 5 us of processor time a second each, in one process; 8,000 robots that play
// with 10 s to think take 31 kB and 18 us. 100 robots with 16 echoes under way
// each take 0.65 cores, beside 0.96 of the servers: two thirds of it are reads and
// writes.
package crew

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/svc/client/clientapi"
	"github.com/davyxu/cellmesh_demo/svc/game/gameapi"
	"github.com/davyxu/cellmesh_demo/svc/robot/player"
	"github.com/davyxu/cellmesh_demo/svc/robot/robotapi"
	"github.com/davyxu/cellmesh_demo/svc/robot/scenario"
	"github.com/davyxu/cellmesh_demo/svc/robot/tally"
)

// Crew is the robot program.
type Crew struct {
	flags    flags
	app      *basefx.App
	out      io.Writer
	progress *progress

	scenario scenario.Scenario
	run      *player.Run
	tally    tally.Tally // errors and violations, and what robots do
	enter    tally.Tally // getting in
	beats    clientapi.Beats
	sources  sources

	robots  []*player.Robot   // their numbers are their indexes here
	idle    []*guest          // theirs follow
	conns   []*clientapi.Conn // by number: the last, nil for who did not get in
	lost    chan int          // numbers of those who have to come back
	away    atomic.Int64      // how many are still to
	online  int               // of them got in
	idlers  int               // got in
	guests  atomic.Int64      // idle ones, and those who come and go, that are there now
	entered time.Duration     // getting in took so long
	before  uint64            // memory, then
	ledger  *gameapi.Ledger

	interrupted chan struct{} // closed by Drain
	done        chan struct{} // closed when err is set
	stopped     atomic.Bool   // the process, by the robots
	err         error
}

// Start runs the robots; the process stops when they are done.
func (c *Crew) Start(_ context.Context, app *basefx.App) error {
	c.app, c.out = app, app.Stdout
	if c.flags.scenario == "help" {
		scenario.Help(c.out)
		app.Stop(nil)
		return nil
	}
	var err error
	if c.scenario, err = scenario.Find(c.flags.scenario); err != nil {
		return err
	}
	if err := c.check(); err != nil {
		return err
	}
	if c.progress, err = newProgress(c.flags.progress, c.out, c.flags.scenario, c.flags.lasts); err != nil {
		return fmt.Errorf("-progress: %w", err)
	}
	for _, file := range []struct{ flag, name string }{{"json", c.flags.json}, {"plot", c.flags.plot}} {
		if err := writable(file.name); err != nil { // better to hear now than after an hour
			return fmt.Errorf("-%s: %w", file.flag, err)
		}
	}
	if c.sources, err = parseSources(c.flags.source); err != nil {
		return fmt.Errorf("-source: %w", err)
	}
	if err := raiseFileLimit(uint64(c.flags.n + c.flags.idle + spareFiles)); err != nil {
		return err
	}
	c.interrupted, c.done = make(chan struct{}), make(chan struct{})
	app.Go("robots", func(ctx context.Context) error {
		var background sync.WaitGroup
		defer background.Wait()
		ctx, leave := context.WithCancel(ctx)
		defer leave()
		c.err = c.perform(ctx, &background)
		close(c.done)
		leave()
		background.Wait()
		for _, conn := range c.conns {
			if conn != nil {
				<-conn.Done()
			}
		}
		c.stopped.Store(true)
		app.Stop(c.err)
		return nil
	})
	return nil
}

// Drain ends the run early, in good order, if it is not over.
func (c *Crew) Drain(ctx context.Context) error {
	if c.done == nil {
		return nil // it never began
	}
	if c.stopped.Load() {
		return nil // it stopped the process itself, and has told why
	}
	close(c.interrupted)
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// perform is a run from the first connection to the report. The connections are
// left open; they and what runs in the background end with ctx.
func (c *Crew) perform(ctx context.Context, background *sync.WaitGroup) error {
	f := &c.flags
	o := player.Options{
		Robots: f.n, UID: f.uid, InFlight: f.inflight, Rate: f.rate, Think: f.think, Size: f.size, Seed: f.seed,
		EchoID: uint16(f.ackID), Keep: f.database != "", Patience: f.patience, Chaos: f.chaos,
	}
	if f.reconnect && c.scenario.Visit == nil {
		c.lost, o.Lost = make(chan int, f.n+f.idle), c.lose
	}
	c.run = player.NewRun(o, &c.tally)
	background.Go(func() { c.run.Wheel.Run(ctx) })
	c.beats.Every = f.beat
	background.Go(func() { c.beats.Run(ctx) })
	entering, stop := context.WithCancel(ctx)
	defer stop()
	background.Go(func() {
		select {
		case <-c.interrupted:
			stop()
		case <-entering.Done():
		}
	})
	defer c.progress.end()
	if c.scenario.Visit != nil {
		return c.performVisits(ctx, entering)
	}
	c.before = memory()
	d, err := c.newDoor(entering)
	if err != nil {
		return unlessInterrupted(entering, err)
	}
	start := time.Now()
	c.conns = c.enterAll(ctx, entering, d)
	c.entered = time.Since(start)
	if c.online+c.idlers == 0 {
		return c.nobody()
	}
	if err := c.openLedger(ctx); err != nil {
		return fmt.Errorf("-database: %w", err)
	}
	defer c.closeLedger()
	background.Go(func() { c.bringBack(ctx, d) })
	c.progress.phase(robotapi.Online, c.online+c.idlers, f.n+f.idle)
	for _, r := range c.robots {
		r.Begin()
	}
	m := c.watch()
	c.settle()
	return c.conclude(ctx, m)
}

// nobody is the error of a run that no robot got into, nil if it was interrupted.
func (c *Crew) nobody() error {
	errors := c.tally.Errors()
	if len(errors) == 0 {
		return nil
	}
	return fmt.Errorf("no robot got in: %s (%s)", errors[0].Example, errors[0].Code)
}

// unlessInterrupted is err, nil if somebody did not want to wait for entering.
func unlessInterrupted(entering context.Context, err error) error {
	if entering.Err() != nil {
		return nil
	}
	return err
}

// settle has the robots send nothing more, waits for what they are owed, has
// them ask their last questions, and lets them complain.
func (c *Crew) settle() {
	late := c.await(0)
	for _, r := range c.robots {
		r.Last()
	}
	c.await(late)
	for _, r := range c.robots {
		r.Settle()
	}
	c.run.Settle()
}

// await waits until robots are owed no more than so much, with a connection for
// each who is coming back, and returns how much that is in the end.
func (c *Crew) await(most int) (owed int) {
	for deadline := time.Now().Add(c.flags.grace); ; {
		owed = int(c.away.Load())
		for _, r := range c.robots {
			owed += r.Stop()
		}
		if owed <= most || !time.Now().Before(deadline) {
			return owed
		}
		time.Sleep(2 * time.Millisecond)
	}
}
