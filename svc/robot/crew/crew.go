// Package crew is the robot program: it gets robots in, has them play for a
// while and tells how it went.
//
// crew.go is the program and its phases, enter.go how a robot gets in, logins.go
// those that only log in, source.go from which addresses, watch.go what is told while they play, report.go what is
// told at the end. What only some systems have is in the files named after them.
package crew

import (
	"context"
	"flag"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/client/clientapi"
	"github.com/davyxu/cellmesh_demo/svc/robot/player"
	"github.com/davyxu/cellmesh_demo/svc/robot/robotapi"
	"github.com/davyxu/cellmesh_demo/svc/robot/scenario"
	"github.com/davyxu/cellmesh_demo/svc/robot/tally"
)

// Crew is the robot program.
type Crew struct {
	flags flags
	app   *basefx.App
	out   io.Writer

	scenario scenario.Scenario
	run      *player.Run
	tally    tally.Tally // errors and violations, and what robots do
	enter    tally.Tally // getting in
	beats    clientapi.Beats
	sources  sources

	conns   []*clientapi.Conn
	robots  []*player.Robot
	online  int           // of them got in
	idlers  int           // got in
	idling  atomic.Int64  // of them are still there
	entered time.Duration // getting in took so long

	interrupted chan struct{} // closed by Drain
	done        chan struct{} // closed when err is set
	err         error
}

// flags are the command line; see New for what they mean.
type flags struct {
	scenario string
	n        int
	idle     int
	inflight int
	rate     float64
	size     int
	seed     uint64
	ackID    uint

	lasts  time.Duration
	warmup time.Duration
	grace  time.Duration

	login    string
	agent    string
	noToken  bool
	commType string
	source   string
	ramp     float64
	beat     time.Duration
	uid      string
	platform string
	secret   string
	tls      bool
	ca       string
	json     string
}

// maxOpenInFlight is how many requests of a robot may be under way with -rate,
// unless -inflight says so.
const maxOpenInFlight = 1000

// New makes the robot program and adds its flags.
func New(fs *flag.FlagSet) basefx.Service {
	c := &Crew{}
	f := &c.flags
	fs.StringVar(&f.scenario, "scenario", "echo", "what the robots do; help lists what there is")
	fs.IntVar(&f.n, "n", 100, "how many robots")
	fs.IntVar(&f.idle, "idle", 0, "further connections that are verified and then only heartbeat")
	fs.IntVar(&f.inflight, "inflight", 0, fmt.Sprintf("most requests under way per robot (default 1, with -rate %d)", maxOpenInFlight))
	fs.Float64Var(&f.rate, "rate", 0, "requests a second per robot, whatever becomes of them; 0 sends the next when one is answered")
	fs.IntVar(&f.size, "size", 64, "bytes of content per request")
	fs.Uint64Var(&f.seed, "seed", 1, "makes a run repeat: contents and choices follow from it")
	fs.UintVar(&f.ackID, "ackid", uint(pb.EchoACKID), "message ID of the reply to EchoREQ, for a foreign server")
	fs.DurationVar(&f.lasts, "for", 10*time.Second, "how long to measure; 0 goes on until interrupted")
	fs.DurationVar(&f.warmup, "warmup", time.Second, "how long the robots play before measuring begins")
	fs.DurationVar(&f.grace, "grace", 5*time.Second, "how long to wait at the end for replies still to come")
	fs.StringVar(&f.login, "login", "", "address of login; empty finds it through memsd")
	fs.StringVar(&f.agent, "agent", "", "address of the agent, instead of the one that login tells")
	fs.BoolVar(&f.noToken, "noverify-token", false, "do not log in: verify at -agent with a token that only a foreign server takes")
	fs.StringVar(&f.commType, "commtype", "tcp", "how to connect: tcp or ws (WebSocket)")
	fs.StringVar(&f.source, "source", "", "addresses to connect from, in turn: 127.0.1.1-127.0.1.4 or a list with commas; one is good for some 28,000 connections")
	fs.Float64Var(&f.ramp, "ramp", 0, "connections to begin a second; 0 is as fast as it goes")
	fs.DurationVar(&f.beat, "beat", 5*time.Second, "time between two heartbeats of a robot")
	fs.StringVar(&f.uid, "uid", "robot", "uids begin with this; a number follows")
	fs.StringVar(&f.platform, "platform", "demo", "who vouches for the uids")
	fs.StringVar(&f.secret, "credential", "", "what the platform asks for")
	fs.BoolVar(&f.tls, "tls", false, "use TLS, to login and agent")
	fs.StringVar(&f.ca, "ca", "", "file with the certificates (PEM) to trust with -tls, instead of the system's")
	fs.StringVar(&f.json, "json", "", "write the report to this file as JSON")
	basefx.Default(fs, "loglevel", "error")
	basefx.Default(fs, "httpaddr", "")
	return c
}

// check completes the flags and refuses what makes no sense.
func (f *flags) check() error {
	if f.inflight == 0 {
		f.inflight = 1
		if f.rate > 0 {
			f.inflight = maxOpenInFlight
		}
	}
	switch {
	case f.n < 0 || f.idle < 0 || f.n+f.idle == 0:
		return fmt.Errorf("-n=%d -idle=%d: there must be at least one robot", f.n, f.idle)
	case f.inflight < 1 || f.inflight > 1<<16:
		return fmt.Errorf("-inflight=%d: 1 to %d", f.inflight, 1<<16)
	case f.rate < 0 || f.rate > 1e6:
		return fmt.Errorf("-rate=%v: 0 to a million", f.rate)
	case f.size < 0 || f.size > 60_000:
		return fmt.Errorf("-size=%d: 0 to 60000, so that it fits a frame", f.size)
	case f.ackID > 1<<16-1:
		return fmt.Errorf("-ackid=%d: message IDs have 16 bits", f.ackID)
	case f.lasts < 0 || f.warmup < 0 || f.grace < 0 || f.ramp < 0:
		return fmt.Errorf("-for, -warmup, -grace and -ramp cannot be negative")
	case f.beat < time.Second:
		return fmt.Errorf("-beat=%v: at least 1s", f.beat)
	case f.commType != "tcp" && f.commType != "ws":
		return fmt.Errorf("-commtype=%s: tcp or ws", f.commType)
	case f.scenario == "login" && (f.noToken || f.idle > 0 || f.rate > 0):
		return fmt.Errorf("-scenario=login: -noverify-token, -idle and -rate have no place there")
	case f.noToken && f.agent == "":
		return fmt.Errorf("-noverify-token: give the foreign server's address with -agent=host:port")
	}
	return nil
}

// Start runs the robots; the process stops when they are done.
func (c *Crew) Start(_ context.Context, app *basefx.App) error {
	c.app, c.out = app, app.Stdout
	if c.flags.scenario == "help" {
		scenario.Help(c.out)
		app.Stop(nil)
		return nil
	}
	if err := c.flags.check(); err != nil {
		return err
	}
	var err error
	if c.scenario, err = scenario.Find(c.flags.scenario); err != nil {
		return err
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
		for _, conn := range c.conns {
			<-conn.Done()
		}
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
	c.run = player.NewRun(player.Options{
		Robots: f.n, InFlight: f.inflight, Rate: f.rate, Size: f.size, Seed: f.seed, EchoID: uint16(f.ackID),
	}, &c.tally)
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
	if c.scenario.New == nil {
		return c.performLogins(ctx, entering)
	}
	start := time.Now()
	c.conns = c.enterAll(ctx, entering)
	c.entered = time.Since(start)
	if c.online+c.idlers == 0 {
		errors := c.tally.Errors()
		if len(errors) == 0 {
			return nil // interrupted
		}
		return fmt.Errorf("no robot got in: %s (%s)", errors[0].Example, errors[0].Code)
	}
	c.say("%s %d of %d robots, %d of %d idle", robotapi.LineOnline, c.online, f.n, c.idlers, f.idle)
	for _, r := range c.robots {
		r.Begin()
	}
	measured := c.watch()
	c.settle()
	return c.conclude(measured)
}

// settle has the robots send nothing more, waits for what they are owed, and
// lets them complain.
func (c *Crew) settle() {
	deadline := time.Now().Add(c.flags.grace)
	for time.Now().Before(deadline) {
		owed := 0
		for _, r := range c.robots {
			owed += r.Stop()
		}
		if owed == 0 {
			break
		}
		time.Sleep(2 * time.Millisecond)
	}
	for _, r := range c.robots {
		r.Settle()
	}
}

func (c *Crew) say(format string, args ...any) { fmt.Fprintf(c.out, format+"\n", args...) }
