// Package world is the game service: it admits players and handles what they
// send. world.go wires it and lists the handlers; admit.go is how a client
// becomes a player; player.go is a player as handlers see it, and how it is
// loaded, changed and unloaded; grow.go handles what makes it grow.
//
// A player who is online takes some 700 bytes of the game's heap, 600 when idle:
// its data has been dropped from memory until it is needed.
//
// The rules of growing are in growth, without clock and database; the database
// is in store, which says why nothing is lost and nothing counted twice.
package world

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/basefx/database"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/agent/agentapi"
	"github.com/davyxu/cellmesh_demo/svc/game/growth"
	"github.com/davyxu/cellmesh_demo/svc/game/store"
	"github.com/davyxu/cellmesh_demo/svc/hub/hubapi"
	"github.com/davyxu/cellmesh_demo/svc/login/loginapi"
	"github.com/davyxu/cellmesh_demo/util/discovery"
	"github.com/davyxu/cellmesh_demo/util/msgmux"
	"github.com/davyxu/cellmesh_demo/util/rarely"
	"github.com/davyxu/cellmesh_demo/util/sqldb"
)

// World is the game service.
type World struct {
	idle     time.Duration // after which a player is unloaded
	keep     time.Duration // lines of the ledger; 0: for good
	database database.Flags

	app      *basefx.App
	clients  *agentapi.Server
	tokens   *loginapi.Verifier
	logins   *loginapi.Sessions
	store    store.Store
	tables   *discovery.Config[growth.Tables]
	refusals *rarely.Log                   // of tokens
	failures *rarely.Log                   // of the store
	gate     *msgmux.Mux[*agentapi.Client] // messages of clients that are no players yet
	play     *msgmux.Mux[*Player]          // messages of players that need no database
	grow     *msgmux.Mux[*Player]          // messages of players that do
	players  players
}

// New makes the game service and adds its flags. A new message gets its line
// here.
func New(fs *flag.FlagSet) basefx.Service {
	w := &World{
		refusals: rarely.New(), failures: rarely.New(),
		gate: msgmux.New[*agentapi.Client](), play: msgmux.New[*Player](), grow: msgmux.New[*Player](),
	}
	w.database.Register(fs)
	fs.DurationVar(&w.idle, "playeridle", 10*time.Minute, "drop the data of players from memory that did not need it for so long")
	fs.DurationVar(&w.keep, "ledgerkeep", 0, "forget changes in the ledger that are older (2160h is 90 days), and what their requests were answered; at least 24h; 0 keeps all")
	msgmux.Handle(w.gate, w.verify)
	msgmux.HandleLent(w.play, w.echo)
	msgmux.Handle(w.grow, w.player)
	msgmux.Handle(w.grow, w.upgrade)
	msgmux.Handle(w.grow, w.claim)
	msgmux.Handle(w.grow, w.rename)
	return w
}

// Start wires the game service.
func (w *World) Start(ctx context.Context, app *basefx.App) (err error) {
	if err := agentapi.Check("game", w.gate, w.play, w.grow); err != nil {
		return err
	}
	if w.keep != 0 && w.keep < store.MinKeep {
		return fmt.Errorf("-ledgerkeep=%v: at least %v, or 0 to keep all", w.keep, store.MinKeep)
	}
	w.app = app
	w.tokens = loginapi.NewVerifier(app.Registry)
	if w.tables, err = basefx.Bind(app, growth.Key, growth.Defaults(), nil); err != nil {
		return err
	}
	db, err := database.Open(app, &w.database, loginapi.SessionTables(), store.Tables())
	if err != nil {
		return err
	}
	players := store.NewSQL(db)
	w.logins, w.store = loginapi.NewSessions(db), players
	hub := hubapi.Join(app)
	hub.ReportStatus(func() *pb.ServiceStatus { return &pb.ServiceStatus{Players: uint32(w.players.count())} })
	app.Gauge("game_players", "Players.", nil, func() float64 { return float64(w.players.count()) })
	app.Gauge("game_players_loaded", "Players whose data is in memory.", nil, func() float64 { return float64(w.players.loaded()) })
	app.Go("idle players", w.unloadIdle)
	if w.keep > 0 {
		trimmed := new(atomic.Int64)
		app.Counter("game_ledger_trimmed_total", "Lines of the ledger that were older than -ledgerkeep and removed.", nil, func() float64 { return float64(trimmed.Load()) })
		app.Go("ledger", func(ctx context.Context) error { return w.trimLedger(ctx, players, trimmed) })
	}
	w.clients, err = agentapi.Serve(ctx, app, w)
	return err
}

// trimLedger forgets what is old as long as the process runs. There may be other
// games that do so, and the database may be away now and then.
func (w *World) trimLedger(ctx context.Context, players *store.SQL, trimmed *atomic.Int64) error {
	for said := ""; ; {
		n, err := players.Trim(ctx, time.Now(), w.keep)
		trimmed.Add(int64(n))
		wait := time.Minute // Trim knows when it is time
		switch {
		case err == nil:
			said = ""
		case errors.Is(err, sqldb.ErrUnavailable): // of which others tell
			wait = time.Second
		case ctx.Err() == nil && err.Error() != said:
			said = err.Error()
			w.app.Log.Error("the ledger is not trimmed", "err", err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
	}
}

// Blocks says which messages ask the database.
func (w *World) Blocks(id uint16) bool { return id == pb.VerifyREQID || w.grow.Handles(id) }

// Message hands a message to its handler.
func (w *World) Message(ctx context.Context, c *agentapi.Client, id uint16, body []byte) (reply msgmux.Message, err error) {
	p, ok := c.Data.(*Player)
	switch {
	case ok && w.play.Handles(id):
		reply, err = w.play.Dispatch(ctx, p, id, body)
	case ok && w.grow.Handles(id):
		reply, err = w.grow.Dispatch(ctx, p, id, body)
	default:
		return w.gate.Dispatch(ctx, c, id, body)
	}
	if err != nil {
		p.failed(err)
	}
	return reply, err
}

// echo answers with what it was sent: for measuring the round trip.
func (w *World) echo(_ context.Context, _ *Player, req *pb.EchoREQ, ack *pb.EchoACK) error {
	ack.Content = req.Content
	return nil
}
