package crew

import (
	"flag"
	"fmt"
	"time"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/proto/pb"
)

// flags are the command line; see New for what they mean.
type flags struct {
	scenario string
	n        int
	idle     int
	inflight int
	rate     float64
	think    time.Duration
	size     int
	seed     uint64
	ackID    uint

	lasts  time.Duration
	warmup time.Duration
	grace  time.Duration

	patience  time.Duration
	reconnect bool
	chaos     bool

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

	progress string
	json     string
	plot     string
	database string
}

// maxOpenInFlight is how many requests of a robot may be under way with -rate,
// unless -inflight says so.
const maxOpenInFlight = 1000

// ownThink stands for the time to think that a scenario has by itself.
const ownThink = -1

// New makes the robot program and adds its flags.
func New(fs *flag.FlagSet) basefx.Service {
	c := &Crew{}
	f := &c.flags
	fs.StringVar(&f.scenario, "scenario", "echo", "what the robots do; help lists what there is")
	fs.IntVar(&f.n, "n", 100, "how many robots")
	fs.IntVar(&f.idle, "idle", 0, "further connections that are verified and then only heartbeat")
	fs.IntVar(&f.inflight, "inflight", 0, fmt.Sprintf("most requests under way per robot (default 1, with -rate %d)", maxOpenInFlight))
	fs.Float64Var(&f.rate, "rate", 0, "requests a second per robot, whatever becomes of them; 0 sends the next when one is answered")
	f.think = ownThink
	fs.Func("think", "about how long a robot thinks before that; without it as the scenario has it", func(s string) (err error) {
		f.think, err = time.ParseDuration(s)
		return err
	})
	fs.IntVar(&f.size, "size", 64, "bytes of content, of echo and broadcast")
	fs.Uint64Var(&f.seed, "seed", 1, "makes a run repeat: contents and choices follow from it")
	fs.UintVar(&f.ackID, "ackid", uint(pb.EchoACKID), "message ID of the reply to EchoREQ, for a foreign server")
	fs.DurationVar(&f.lasts, "for", 10*time.Second, "how long to measure; 0 goes on until interrupted")
	fs.DurationVar(&f.warmup, "warmup", time.Second, "how long the robots play before measuring begins")
	fs.DurationVar(&f.grace, "grace", 5*time.Second, "how long to wait at the end for replies still to come")
	fs.DurationVar(&f.patience, "patience", 10*time.Second, "how long to wait for a reply, up to twice as long, before it is missing; 0 is until the end")
	fs.BoolVar(&f.reconnect, "reconnect", true, "come back when the connection ends, unless that is meant for the robot (kicked, logged in elsewhere, banned)")
	fs.BoolVar(&f.chaos, "chaos", false, "servers are killed meanwhile: an end without a reason and a reply that never comes are errors, not broken promises")
	fs.StringVar(&f.login, "login", "", "address of login; empty finds it through memsd")
	fs.StringVar(&f.agent, "agent", "", "address of the agent, instead of the one that login tells")
	fs.BoolVar(&f.noToken, "noverify-token", false, "do not log in: verify at -agent with the uid as token, which only a foreign server takes")
	fs.StringVar(&f.commType, "commtype", "tcp", "how to connect: tcp or ws (WebSocket)")
	fs.StringVar(&f.source, "source", "", "addresses to connect from, in turn: 127.0.1.1-127.0.1.4 or a list with commas; one is good for some 28,000 connections")
	fs.Float64Var(&f.ramp, "ramp", 0, "robots to begin a second; 0 is as fast as it goes")
	fs.DurationVar(&f.beat, "beat", 5*time.Second, "time between two heartbeats of a robot")
	fs.StringVar(&f.uid, "uid", "robot", "uids begin with this; a number follows")
	fs.StringVar(&f.platform, "platform", "demo", "who vouches for the uids")
	fs.StringVar(&f.secret, "credential", "", "what the platform asks for")
	fs.BoolVar(&f.tls, "tls", false, "use TLS, to login and agent")
	fs.StringVar(&f.ca, "ca", "", "file with the certificates (PEM) to trust with -tls, instead of the system's")
	fs.StringVar(&f.progress, "progress", "auto", "how to tell how it goes: panel (a terminal), plain (a line a second), json (for programs, see robotapi.Event), none; auto is panel on a terminal, else plain")
	fs.StringVar(&f.json, "json", "", "write the report to this file as JSON")
	fs.StringVar(&f.plot, "plot", "", "write the report to this file as a page (HTML), with rate and latency over time")
	fs.StringVar(&f.database, "database", "", "the database of the games, for instance sqlite:cellmesh.db: check at the end whether its ledger tells what the robots were told")
	basefx.Default(fs, "loglevel", "error")
	basefx.Default(fs, "httpaddr", "")
	return c
}

// check completes the flags and refuses what makes no sense.
func (c *Crew) check() error {
	f := &c.flags
	if f.inflight == 0 {
		f.inflight = 1
		if f.rate > 0 {
			f.inflight = maxOpenInFlight
		}
	}
	if f.rate > 0 && f.think > 0 {
		return fmt.Errorf("-rate=%v -think=%v: one of the two, a rate leaves no time to think", f.rate, f.think)
	}
	if f.think < 0 {
		f.think = c.scenario.Think
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
	case f.lasts < 0 || f.warmup < 0 || f.grace < 0 || f.patience < 0 || f.ramp < 0:
		return fmt.Errorf("-for, -warmup, -grace, -patience and -ramp cannot be negative")
	case f.beat < time.Second:
		return fmt.Errorf("-beat=%v: at least 1s", f.beat)
	case f.commType != "tcp" && f.commType != "ws":
		return fmt.Errorf("-commtype=%s: tcp or ws", f.commType)
	case c.scenario.Visit != nil && (f.n == 0 || f.idle > 0):
		return fmt.Errorf("-scenario=%s: its robots come and go, -idle has no place there", f.scenario)
	case c.scenario.Visit != nil && f.database != "":
		return fmt.Errorf("-scenario=%s: its robots change nothing, -database has no place there", f.scenario)
	case f.scenario == "login" && f.noToken:
		return fmt.Errorf("-scenario=login: -noverify-token has no place there")
	case f.noToken && f.agent == "":
		return fmt.Errorf("-noverify-token: give the foreign server's address with -agent=host:port")
	}
	return nil
}
