// Package world is the game service: it admits players and handles what they
// send. world.go wires it and lists the handlers; admit.go is how a client
// becomes a player.
package world

import (
	"context"
	"flag"
	"sync/atomic"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/basefx/database"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/agent/agentapi"
	"github.com/davyxu/cellmesh_demo/svc/hub/hubapi"
	"github.com/davyxu/cellmesh_demo/svc/login/loginapi"
	"github.com/davyxu/cellmesh_demo/util/msgmux"
	"github.com/davyxu/cellmesh_demo/util/rarely"
)

// World is the game service.
type World struct {
	app      *basefx.App
	database database.Flags
	clients  *agentapi.Server
	tokens   *loginapi.Verifier
	logins   *loginapi.Sessions
	refusals *rarely.Log                   // of tokens
	gate     *msgmux.Mux[*agentapi.Client] // messages of clients that are no players yet
	play     *msgmux.Mux[*Player]          // messages of players
	players  atomic.Int64
}

// Player is a verified client as handlers see it. What happens to one player
// happens in order, one at a time.
type Player struct {
	UID    string
	Epoch  uint64 // of this login
	Client *agentapi.Client
}

// New makes the game service. A new message gets its line here.
func New(fs *flag.FlagSet) basefx.Service {
	w := &World{refusals: rarely.New(), gate: msgmux.New[*agentapi.Client](), play: msgmux.New[*Player]()}
	w.database.Register(fs)
	msgmux.Handle(w.gate, w.verify)
	msgmux.HandleLent(w.play, w.echo)
	return w
}

// Start wires the game service.
func (w *World) Start(ctx context.Context, app *basefx.App) (err error) {
	if err := agentapi.Check("game", w.gate, w.play); err != nil {
		return err
	}
	w.app = app
	w.tokens = loginapi.NewVerifier(app.Registry)
	db, err := database.Open(app, &w.database, loginapi.SessionTables())
	if err != nil {
		return err
	}
	w.logins = loginapi.NewSessions(db)
	hub := hubapi.Join(app)
	hub.ReportStatus(func() *pb.ServiceStatus { return &pb.ServiceStatus{Players: uint32(w.players.Load())} })
	app.Gauge("game_players", "Players.", nil, func() float64 { return float64(w.players.Load()) })
	w.clients, err = agentapi.Serve(ctx, app, w)
	return err
}

// Blocks says which messages ask the database.
func (w *World) Blocks(id uint16) bool { return id == pb.VerifyREQID }

// Message hands a message to its handler.
func (w *World) Message(ctx context.Context, c *agentapi.Client, id uint16, body []byte) (msgmux.Message, error) {
	if p, ok := c.Data.(*Player); ok && w.play.Handles(id) {
		return w.play.Dispatch(ctx, p, id, body)
	}
	return w.gate.Dispatch(ctx, c, id, body)
}

// echo answers with what it was sent: for measuring the round trip.
func (w *World) echo(_ context.Context, _ *Player, req *pb.EchoREQ, ack *pb.EchoACK) error {
	ack.Content = req.Content
	return nil
}
