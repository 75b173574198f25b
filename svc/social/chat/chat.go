// Package chat is the social service: what players say to each other, to
// everybody, in rooms and in private.
//
// It keeps nothing that it could take along when it dies. Who is in a room is
// kept by agents, as members of the group "room/NAME": a social that goes is
// replaced by another, which is told the groups with the clients; one that is
// stopped hands them over without loss (Drain). Who is online, agents say. Topics,
// history and private lines for who is not here are in the database, and only what
// must not be lost waits for it.
//
// chat.go wires it and lists the handlers; say.go is what is said, rooms.go who
// hears it; inbox.go hands over private lines that have waited, departures.go
// tells who has left; settings.go is what operators set, with the text filter.
package chat

import (
	"context"
	"flag"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/basefx/database"
	"github.com/davyxu/cellmesh_demo/basefx/sanction"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/agent/agentapi"
	"github.com/davyxu/cellmesh_demo/svc/hub/hubapi"
	"github.com/davyxu/cellmesh_demo/svc/login/loginapi"
	"github.com/davyxu/cellmesh_demo/svc/social/rules"
	"github.com/davyxu/cellmesh_demo/svc/social/store"
	"github.com/davyxu/cellmesh_demo/util/discovery"
	"github.com/davyxu/cellmesh_demo/util/msgmux"
	"github.com/davyxu/cellmesh_demo/util/rarely"
)

// Social is the social service.
type Social struct {
	database database.Flags
	filter   Filter

	app      *basefx.App
	clients  *agentapi.Server
	settings *discovery.Config[Settings]
	mutes    *sanction.Sanctions
	words    wordList
	ids      *rules.IDs
	logins   *loginapi.Sessions
	store    *store.Store
	recorder *store.Recorder
	failures *rarely.Log
	mux      *msgmux.Mux[*agentapi.Client]

	inbox      inbox
	departures departures

	world, rooms, private, stored atomic.Int64 // lines said
	fresh, old                    atomic.Int64 // clients here that get a LineACK, and that get a ChatACK
}

// New makes the social service and adds its flags. A new message gets its line
// here.
func New(fs *flag.FlagSet) basefx.Service {
	s := &Social{mux: msgmux.New[*agentapi.Client](), failures: rarely.New()}
	s.filter = &s.words
	s.inbox.init()
	s.database.Register(fs)
	msgmux.HandleOneWay(s.mux, s.chat)
	msgmux.HandleOneWay(s.mux, s.say)
	msgmux.Handle(s.mux, s.join)
	msgmux.Handle(s.mux, s.leave)
	msgmux.Handle(s.mux, s.topic)
	msgmux.Handle(s.mux, s.who)
	msgmux.Handle(s.mux, s.history)
	return s
}

// Start wires the social service.
func (s *Social) Start(ctx context.Context, app *basefx.App) (err error) {
	if err := agentapi.Check("social", s.mux); err != nil {
		return err
	}
	s.app = app
	if s.settings, err = basefx.Bind(app, settingsPrefix, defaultSettings(), s.words.follow); err != nil {
		return err
	}
	s.words.follow(s.settings.Get())
	s.mutes = sanction.Watch(app)
	if s.ids, err = rules.NewIDs(app.Self().Index); err != nil {
		return fmt.Errorf("-svcindex: %w", err)
	}
	db, err := database.Open(app, &s.database, loginapi.SessionTables(), store.Tables())
	if err != nil {
		return err
	}
	s.logins, s.store = loginapi.NewSessions(db), store.New(db)
	s.recorder = store.NewRecorder(s.store, func() int { return s.settings.Get().HistoryLines }, app.Logger("history"))
	app.Go("history", func(ctx context.Context) error { s.recorder.Run(ctx); return nil })
	app.Go("sweep", s.sweep)
	app.Go("inbox", s.handOver)
	app.Go("departures", s.tellDepartures)
	s.metrics()
	hub := hubapi.Join(app)
	hub.ReportStatus(func() *pb.ServiceStatus { return &pb.ServiceStatus{Players: uint32(s.clients.Clients())} })
	if s.clients, err = agentapi.Serve(ctx, app, s); err != nil {
		return err
	}
	s.clients.Greet()
	return nil
}

func (s *Social) metrics() {
	for kind, n := range map[string]*atomic.Int64{"world": &s.world, "room": &s.rooms, "private": &s.private, "stored": &s.stored} {
		s.app.Counter("social_lines_total", "Lines said: to everybody, in rooms, to one who was online, to one who was not.", map[string]string{"kind": kind},
			func() float64 { return float64(n.Load()) })
	}
	s.app.Gauge("social_history_waiting", "Lines that wait to be written into the history.", nil, func() float64 { return float64(s.recorder.Waiting()) })
	s.app.Counter("social_history_written_total", "Lines written into the history.", nil, func() float64 { return float64(s.recorder.Written()) })
	s.app.Counter("social_history_dropped_total", "Lines not written, because too many waited or the database refused them.", nil,
		func() float64 { return float64(s.recorder.Dropped()) })
	s.app.Counter("social_inbox_dropped_total", "Players whose private lines wait for the next login, because too many had some.", nil,
		func() float64 { return float64(s.inbox.dropped.Load()) })
	s.app.Counter("social_departures_dropped_total", "Players of whom no room was told that they have left, because too many did.", nil,
		func() float64 { return float64(s.departures.dropped()) })
}

// Blocks says which messages ask agents or the database, as most do.
func (s *Social) Blocks(id uint16) bool { return id != pb.ChatREQID }

// Opened notes who is here, and that private lines may wait for it.
func (s *Social) Opened(_ context.Context, c *agentapi.Client) error {
	who := c.Who()
	if c.Data == nil {
		c.Data = s.kindOf(who)
		s.kindOf(who).Add(1)
	}
	s.inbox.look(who.UID, time.Now(), 0)
	return nil
}

// Message hands a client's message to its handler.
func (s *Social) Message(ctx context.Context, c *agentapi.Client, id uint16, body []byte) (msgmux.Message, error) {
	return s.mux.Dispatch(ctx, c, id, body)
}

// Closed notes that the client may have left its rooms: or another social has it,
// or its agent is about to come back.
func (s *Social) Closed(_ context.Context, c *agentapi.Client, _ string) {
	who := c.Who()
	if kind, is := c.Data.(*atomic.Int64); is {
		kind.Add(-1)
	}
	for _, room := range roomsOf(c) {
		s.departures.add(room, who.UID, nameOf(who), time.Now())
	}
}

// kindOf counts the clients of this kind.
func (s *Social) kindOf(who agentapi.Identity) *atomic.Int64 {
	if who.Features&lines == 0 {
		return &s.old
	}
	return &s.fresh
}

// Drain hands everything over to other socials: what has come is done, and what
// comes then waits for them. It takes milliseconds.
func (s *Social) Drain(ctx context.Context) error {
	s.tellAllGone(ctx)
	err := s.clients.Retire(ctx)
	s.inbox.finish(ctx)
	return err
}

// sweep forgets what is too old, now and then.
func (s *Social) sweep(ctx context.Context) error {
	for wait := firstSweep; ; wait = sweepEvery {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
		days := s.settings.Get().KeepDays
		if err := s.store.Sweep(ctx, time.Now().AddDate(0, 0, -days)); err != nil && ctx.Err() == nil {
			s.app.Log.Error("old chat is not forgotten: tried again in an hour", "err", err)
		}
	}
}

const (
	firstSweep = time.Minute // after the start
	sweepEvery = time.Hour
)

// failed tells the operator what has failed and is not the client's fault.
func (s *Social) failed(what string, who agentapi.Identity, err error) {
	if unsaid, ok := s.failures.Say(); ok {
		s.app.Log.Error(what, "uid", who.UID, "err", err, "unsaid", unsaid)
	}
}

// nameOf is what others call the player.
func nameOf(who agentapi.Identity) string {
	if who.Name == "" {
		return who.UID
	}
	return who.Name
}
