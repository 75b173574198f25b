// Package gateway is the agent itself: client connections on one side, links to
// backends on the other, and the rules that say what may pass.
//
// gateway.go wires it. A message from a client goes through client.go (Frame),
// is bound to a backend in bind.go, and leaves on a link; one for a client
// comes in through backend.go. policy.go holds messages
// against rules, which rules.go keeps up to date; closing.go has the reasons for
// which a connection ends; slots.go finds a client by its number, groups.go those
// of a group.
package gateway

import (
	"context"
	"flag"
	"log/slog"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/hub/hubapi"
	"github.com/davyxu/cellmesh_demo/util/cellnet"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// Gateway is the agent's service.
type Gateway struct {
	port          basefx.ClientPort
	hold          time.Duration // how long a client waits for a backend that is away
	verifyTimeout time.Duration
	maxViolations int
	maxPending    int

	ctx      context.Context // of the process
	log      *slog.Logger
	app      *basefx.App
	links    *link.Links
	registry discovery.Registry
	session  cellnet.Config
	rules    rules
	slots    slots
	groups   groups

	sessions   cellnet.Counters
	returned   atomic.Int64 // messages for clients
	stray      atomic.Int64 // messages for clients that had left
	refusals   func(code string)
	closes     func(reason string)
	refusalLog *rate.Limiter
}

// New makes the agent and adds its flags.
func New(fs *flag.FlagSet) basefx.Service {
	g := &Gateway{}
	g.port.Register(fs)
	fs.DurationVar(&g.hold, "hold", 5*time.Second, "how long a client's message waits for a service that is away")
	fs.DurationVar(&g.verifyTimeout, "verifytimeout", 15*time.Second, "how long a connection may stay without being verified")
	fs.IntVar(&g.maxViolations, "maxviolations", 100, "refused messages within 10 s that end a connection")
	fs.IntVar(&g.maxPending, "maxpending", 1<<20, "bytes that may wait for a client that does not read; more end its connection")
	return g
}

// Start wires the agent.
func (g *Gateway) Start(ctx context.Context, app *basefx.App) error {
	g.ctx, g.app, g.log, g.links, g.registry = ctx, app, app.Log, app.Links, app.Registry
	g.slots.init(g.port.MaxConns)
	g.refusals = app.CounterBy("agent_refused_total", "Client messages refused, by code.", "code")
	g.closes = app.CounterBy("agent_closed_total", "Client connections ended, by reason.", "reason")
	g.refusalLog = rate.NewLimiter(5, 20)
	app.Gauge("agent_clients", "Client connections.", nil, func() float64 { return float64(g.slots.count()) })
	app.Counter("agent_returned_total", "Messages for clients.", nil, func() float64 { return float64(g.returned.Load()) })
	app.Counter("agent_stray_total", "Messages for clients that had left.", nil, func() float64 { return float64(g.stray.Load()) })

	g.links.Receive("", func(l *link.Link) link.Receiver { return &backend{g: g, link: l} })
	link.Handle(g.links, g.bindBackend)
	link.Handle(g.links, g.clientKick)
	link.Handle(g.links, g.clientJoin)
	link.Handle(g.links, g.clientLeave)
	app.Need("routes", g.needRules)
	app.NeedLink("game")
	app.Need("backends", g.needLinks)
	app.Go("rules", g.followRules)
	app.HandleHTTP("GET /routes", http.HandlerFunc(g.showRules))
	hubapi.Join(app).ReportStatus(func() *pb.ServiceStatus { return &pb.ServiceStatus{Players: uint32(g.slots.count())} })

	g.session = cellnet.Config{Framing: cellnet.ClientFraming, MaxPending: g.maxPending, Counters: &g.sessions}
	return app.ServeClients(&g.port, &cellnet.Acceptor{Config: &g.session, WebSocket: true, Open: g.open, Idle: g.heartbeat})
}

// heartbeatKey is where operators set how long, in seconds, a client may be
// silent; 0 is forever. Clients say something every 5 s.
const heartbeatKey = "config/agent/heartbeat_sec"

const defaultHeartbeat = 30 * time.Second

// heartbeat is how long a client may be silent.
func (g *Gateway) heartbeat() time.Duration {
	text, ok := g.registry.Snapshot().Value(heartbeatKey)
	if !ok {
		return defaultHeartbeat
	}
	sec, err := strconv.Atoi(text)
	if err != nil || sec < 0 || sec > 24*3600 {
		return defaultHeartbeat
	}
	return time.Duration(sec) * time.Second
}
