// Package gateway is the agent itself: client connections on one side, links to
// backends on the other, and the rules that say what may pass.
//
// gateway.go wires it. A message from a client goes through client.go (Frame),
// is bound to a backend in bind.go, and leaves on a link; one for a client
// comes in through backend.go. slots.go finds a client by its number, rules.go
// follows the route table.
package gateway

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/agent/route"
	"github.com/davyxu/cellmesh_demo/svc/hub/hubapi"
	"github.com/davyxu/cellmesh_demo/util/cellnet"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// Gateway is the agent's service.
type Gateway struct {
	maxClients int
	hold       time.Duration // how long a client waits for a backend that is away

	ctx      context.Context // of the process
	app      *basefx.App
	log      *slog.Logger
	links    *link.Links
	registry discovery.Registry
	session  cellnet.Config
	rules    atomic.Pointer[route.Table] // replaced whole
	slots    slots
	counters counters
	sessions cellnet.Counters
}

// counters are what the agent counts beside its sessions.
type counters struct {
	relayed, returned, stray, rejected, unavailable, busy atomic.Int64
}

// New makes the agent and adds its flags.
func New(fs *flag.FlagSet) basefx.Service {
	g := &Gateway{}
	fs.IntVar(&g.maxClients, "maxclients", 100_000, "most client connections at a time")
	fs.DurationVar(&g.hold, "hold", 5*time.Second, "how long a client's message waits for a service that is away")
	return g
}

// Start wires the agent.
func (g *Gateway) Start(ctx context.Context, app *basefx.App) error {
	g.ctx, g.app, g.log, g.links, g.registry = ctx, app, app.Log, app.Links, app.Registry
	g.slots.init(g.maxClients)
	g.session = cellnet.Config{Framing: cellnet.ClientFraming, Counters: &g.sessions}

	g.links.Receive("", func(l *link.Link) link.Receiver { return &backend{g: g, link: l} })
	link.Handle(g.links, g.bindBackend)
	link.Handle(g.links, g.clientKick)
	app.Need("routes", g.needRules)
	app.NeedLink("game")
	app.Need("backends", g.needLinks)
	app.Go("rules", g.followRules)

	hub := hubapi.Join(app)
	hub.ReportStatus(func() *pb.ServiceStatus { return &pb.ServiceStatus{Players: uint32(g.slots.count())} })
	g.metrics()

	l, err := app.ListenClients()
	if err != nil {
		return fmt.Errorf("clients: %w", err)
	}
	acceptor := &cellnet.Acceptor{Config: &g.session, WebSocket: true, Open: g.open}
	app.Go("clients", func(ctx context.Context) error { return acceptor.Serve(ctx, l) })
	return nil
}

func (g *Gateway) metrics() {
	g.app.Gauge("agent_clients", "Client connections.", nil, func() float64 { return float64(g.slots.count()) })
	g.app.SessionMetrics("client", &g.sessions)
	for name, c := range map[string]*atomic.Int64{
		"relayed": &g.counters.relayed, "returned": &g.counters.returned, "stray": &g.counters.stray,
		"rejected": &g.counters.rejected, "unavailable": &g.counters.unavailable, "busy": &g.counters.busy,
	} {
		g.app.Counter("agent_messages_total", "Client messages by what became of them: relayed to a backend, returned to clients, stray (for a client that had left), refused by rule, for a service that was away, for one that does not keep up.",
			map[string]string{"what": name}, func() float64 { return float64(c.Load()) })
	}
}
