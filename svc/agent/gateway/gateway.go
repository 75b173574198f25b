// Package gateway is the agent itself: client connections on one side, links to
// backends on the other, and the rules that say what may pass.
//
// gateway.go wires it. A message from a client goes through client.go (Frame),
// is held against its rule in policy.go, is bound to a backend in bind.go (and
// waits for one in hold.go), and leaves on a link; one for a client comes in
// through backend.go. rules.go keeps the rules up to date and explain.go tells
// them; closing.go has the reasons for which a connection ends, bans.go one that
// operators have; features.go reads what a client understands; slots.go finds a
// client by its number, users.go by its uid, which has one session at a time,
// groups.go those of a group, kinds.go counts them by what they understand. greetings.go introduces clients to services that
// want to know them before they say something (crowds.go: where there are few),
// presence.go tells backends who is here, ask.go answers what they ask, notice.go
// shows clients what an operator says.
package gateway

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/basefx/sanction"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/agent/route"
	"github.com/davyxu/cellmesh_demo/svc/hub/hubapi"
	"github.com/davyxu/cellmesh_demo/util/cellnet"
	"github.com/davyxu/cellmesh_demo/util/discovery"
	"github.com/davyxu/cellmesh_demo/util/rarely"
)

// Gateway is the agent's service.
type Gateway struct {
	port          basefx.ClientPort
	hold          time.Duration // how long a client waits for a backend that is away
	verifyTimeout time.Duration
	maxViolations int
	maxPending    int
	explain       string // a message to explain instead of being an agent

	ctx      context.Context // of the process
	began    time.Time
	log      *slog.Logger
	msgs     *basefx.MsgLog // of every message that goes through; nil: switched off
	app      *basefx.App
	links    *link.Links
	registry discovery.Registry
	session  cellnet.Config
	rules    rules
	slots    slots
	groups   groups
	users    users
	kinds    kinds
	away     away
	crowds   crowds
	feeds    feeds
	notices  notices
	settings *discovery.Config[settings]
	bans     *sanction.Sanctions

	greetings *greetings

	featuresField protowire.Number // of VerifyREQ

	sessions   cellnet.Counters
	introduced atomic.Int64 // clients to services that want to know them at once
	told       atomic.Int64 // users, to backends that want to know who is here
	returned   atomic.Int64 // messages for clients
	stray      atomic.Int64 // messages for clients that had left
	tooLarge   atomic.Int64 // messages for clients that no client takes
	refusals   func(code string)
	closes     func(reason string)
	refusalLog *rarely.Log // of what clients cause
	backendLog *rarely.Log // of what backends cause
}

// New makes the agent and adds its flags.
func New(fs *flag.FlagSet) basefx.Service {
	g := &Gateway{}
	g.port.Register(fs)
	fs.DurationVar(&g.hold, "hold", 5*time.Second, "how long a client's message waits for a service that is away")
	fs.DurationVar(&g.verifyTimeout, "verifytimeout", 15*time.Second, "how long a connection may stay without being verified")
	fs.IntVar(&g.maxViolations, "maxviolations", 100, "refused messages within 10 s that end a connection; 0 for no limit")
	fs.IntVar(&g.maxPending, "maxpending", 1<<20, "bytes that may wait for a client that does not read; more end its connection")
	fs.StringVar(&g.explain, "explain", "", "tell which rule of those in memsd holds for this message (name or ID), and exit")
	return g
}

// Start wires the agent.
func (g *Gateway) Start(ctx context.Context, app *basefx.App) (err error) {
	if err := g.checkFlags(); err != nil {
		return err
	}
	g.ctx, g.app, g.log, g.links, g.registry = ctx, app, app.Log, app.Links, app.Registry
	g.msgs = app.MsgLog()
	g.began = time.Now()
	if g.settings, err = basefx.Bind(app, settingsPrefix, defaultSettings(), nil); err != nil {
		return err
	}
	g.bans = sanction.Watch(app)
	g.bans.OnChange(g.banned)
	g.rules.table.Store(new(route.Table)) // blocks everything
	g.featuresField = featuresField()
	g.slots.init(g.port.MaxConns)
	g.refusals = app.CounterBy("agent_refused_total", "Client messages refused, by code.", "code")
	g.closes = app.CounterBy("agent_closed_total", "Client connections ended, by reason.", "reason")
	g.refusalLog, g.backendLog = rarely.New(), rarely.New()
	app.Gauge("agent_clients", "Client connections.", nil, func() float64 { return float64(g.slots.count()) })
	app.Gauge("agent_users", "Clients that are verified: uids with a session here.", nil, func() float64 { return float64(g.users.count()) })
	app.Counter("agent_introduced_total", "Clients introduced to services that want to know all of them.", nil, func() float64 { return float64(g.introduced.Load()) })
	app.Counter("agent_presence_told_total", "Users that backends were told of as here or gone.", nil, func() float64 { return float64(g.told.Load()) })
	app.Counter("agent_returned_total", "Messages for clients.", nil, func() float64 { return float64(g.returned.Load()) })
	app.Counter("agent_stray_total", "Messages for clients that had left.", nil, func() float64 { return float64(g.stray.Load()) })
	app.Counter("agent_too_large_total", "Messages for clients that were larger than a client frame.", nil, func() float64 { return float64(g.tooLarge.Load()) })

	g.links.Receive("", func(l *link.Link) link.Receiver { return &backend{g: g, link: l} })
	g.links.OnUp(g.away.back)
	g.links.GatherWhen(func() bool { return g.slots.count() < fewClients })
	link.Handle(g.links, g.bindBackend)
	link.Handle(g.links, g.usersIn)
	link.Handle(g.links, g.clientKick)
	link.Handle(g.links, g.clientJoin)
	link.Handle(g.links, g.clientLeave)
	link.Handle(g.links, g.clientName)
	link.Handle(g.links, g.greet)
	link.Handle(g.links, g.deliver)
	link.Handle(g.links, g.members)
	link.Handle(g.links, g.retire)
	g.greetings = newGreetings(g)
	g.links.OnDown(g.greetings.lost)
	g.links.OnDown(g.feeds.end)
	app.Need("routes", g.needRules)
	app.NeedLink("game")
	app.Need("backends", g.needLinks)
	app.Go("rules", g.followRules)
	app.HandleHTTP("GET /routes", http.HandlerFunc(g.showRules))
	hub := hubapi.Join(app)
	hubapi.Answer(hub, hubapi.Own, g.notice)
	hub.ReportStatus(func() *pb.ServiceStatus { return &pb.ServiceStatus{Players: uint32(g.slots.count())} })

	g.session = cellnet.Config{Framing: cellnet.ClientFraming, MaxPending: g.maxPending, Counters: &g.sessions}
	return app.ServeClients(&g.port, &cellnet.Acceptor{
		Config: &g.session, WebSocket: true, Inline: true, Open: g.open, Idle: g.idle, HandshakeTimeout: g.verifyTimeout,
	})
}

func (g *Gateway) checkFlags() error {
	switch {
	case g.explain != "":
		return errors.New("-explain works on the command line only")
	case g.verifyTimeout <= 0:
		return fmt.Errorf("-verifytimeout=%v: must be more than 0", g.verifyTimeout)
	case g.hold < 0:
		return fmt.Errorf("-hold=%v: must not be negative", g.hold)
	case g.maxViolations < 0:
		return fmt.Errorf("-maxviolations=%d: must not be negative", g.maxViolations)
	case g.maxPending < minPending:
		return fmt.Errorf("-maxpending=%d: must be at least %d, room for one message", g.maxPending, minPending)
	}
	return nil
}

// fewClients are so few that yielding before a write to a link pays: it wakes the
// thread that then waits for the answer already while this one is still at it.
// Many wake each other anyway, and yielding would only tear their batches apart.
const fewClients = 16

// minPending is the smallest -maxpending: a client frame on a WebSocket.
const minPending = 64<<10 + 16
