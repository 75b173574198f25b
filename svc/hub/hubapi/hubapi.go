// Package hubapi is how services send messages to services they are not linked
// to: by channel, through hub.
//
// [Join] connects a process to every hub; what it gives is usable at once,
// whether a hub is there or not, and stays so when hubs come and go.
//
//	hub := hubapi.Join(app)
//	hubapi.Subscribe(hub, "room.*", func(from string, m *pb.LineACK) { ... })
//	err := hub.Publish(ctx, "room.3", &pb.LineACK{ ... })
//	ack, err := hubapi.Request[pb.StatusACK](ctx, hub, "hub", &pb.StatusREQ{})
//
// Channels are words with dots between them, and subscriptions may have
// wildcards: see package channel. Every service has channels of its own without
// asking, [Own]: its name ("game", which all games have) and its svcid
// ("game#0@dev").
//
// # What is promised
//
//   - A message arrives at most once, however many hubs there are, and those of
//     one publisher on one channel in the order in which they were published (but
//     for those still on their way through a hub that the publisher has lost, and
//     subscribers not yet: the next hub may be faster).
//   - Whoever is slow harms only itself. A subscription's handler may block: up to
//     [MaxWaiting] messages wait for it, what comes on top it misses, and is told
//     (see [Missed]). A process that does not read its link misses what the hub has no
//     room for, and is told how much.
//   - A subscriber gets what is published after its subscription has reached the
//     hub; it misses what was on its way when a hub died. What must not be missed
//     does not belong here: tell absolute values, again and again.
//
// Start reading here; subscribe.go and request.go are the other two ways to use
// it, status.go is what services tell about themselves once a second. Below is an
// [Engine], in engine.go; hubs.go is the one of this cluster.
package hubapi

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/hub/hubapi/channel"
	"github.com/davyxu/cellmesh_demo/util/discovery"
	"github.com/davyxu/cellmesh_demo/util/mailbox"
	"github.com/davyxu/cellmesh_demo/util/rarely"
)

// Hub is a process's connection to the hubs.
type Hub struct {
	app    *basefx.App // nil: none
	svcid  string
	log    *slog.Logger
	engine Engine
	began  time.Time

	ctx      context.Context // of handlers
	end      context.CancelFunc
	boxes    mailbox.Group
	failures *rarely.Log

	mu      sync.Mutex
	all     map[*Subscription]struct{}
	own     map[uint16][]*Subscription // by message ID; each slice never changes
	asked   map[uint64]*question
	number  uint64 // of the last request
	cancels []func()
	closed  bool

	count    counters
	came     chan struct{} // capacity 1: a hub has come
	statuses statuses
}

type counters struct{ published, received, unhandled, dropped, failed, missedHub, missedQueue, late, cut atomic.Int64 }

// parcel is a message about to be sent, and room to encode its body in.
type parcel struct {
	pb.HubPublish
	room []byte
}

var parcels = sync.Pool{New: func() any { return new(parcel) }}

func newParcel(channel string) *parcel {
	p := parcels.Get().(*parcel)
	p.Channel = channel
	return p
}

func (p *parcel) free() {
	p.Reset()
	parcels.Put(p)
}

// Join links to the hubs. Call it once, in Start.
func Join(app *basefx.App) *Hub { return JoinBeside(app, nil) }

// JoinBeside is for hub itself: beside makes, of the engine that is connected to
// the other hubs, the one to use.
func JoinBeside(app *basefx.App, beside func(others Engine) Engine) *Hub {
	e := newHubs(app.Links)
	app.Go("publish to hub", func(ctx context.Context) error { e.run(ctx); return nil })
	engine := Engine(e)
	if beside != nil {
		engine = beside(e)
	}
	self := app.Self()
	h := New(engine, self, app.Logger("hub"))
	h.app = app
	app.Finally(h.Close)
	for _, c := range [...]struct {
		what string
		n    *atomic.Int64
	}{
		{"published", &h.count.published}, {"received", &h.count.received}, {"unhandled", &h.count.unhandled},
		{"dropped", &h.count.dropped}, {"failed", &h.count.failed}, {"missed_hub", &h.count.missedHub},
		{"missed_queue", &h.count.missedQueue}, {"late", &h.count.late}, {"hub_lost", &h.count.cut},
	} {
		app.Counter("hub_client_total", "Messages through hub: published here, received here; of a type nobody here handles on our own channels; "+
			"dropped because no hub was there for too long, or did not keep up; whose handler failed; missed because this process, or a handler, did not keep up; answers that came too late. hub_lost: ways to a hub that have ended, with what was on them.",
			map[string]string{"what": c.what}, func() float64 { return float64(c.n.Load()) })
	}
	return h
}

// New makes a Hub of an engine, for a process that is registered as self. Close
// it.
func New(e Engine, self discovery.Service, log *slog.Logger) *Hub {
	h := &Hub{
		svcid: self.ID, log: log, engine: e, began: time.Now(), failures: rarely.New(), came: make(chan struct{}, 1),
		all: map[*Subscription]struct{}{}, own: map[uint16][]*Subscription{}, asked: map[uint64]*question{}, number: firstNumber(),
	}
	h.ctx, h.end = context.WithCancel(context.Background())
	e.Notify(Events{Up: h.up, Missed: h.missed, Dropped: func() { h.count.dropped.Add(1) }})
	h.cancels = append(h.cancels, e.Subscribe(h.inbox(), h.answered))
	for _, own := range [...]string{self.Name, self.ID} {
		h.cancels = append(h.cancels, e.Subscribe(own, h.toUs))
	}
	return h
}

// Close ends all subscriptions and waits for their handlers, whose contexts are
// done.
func (h *Hub) Close() {
	h.mu.Lock()
	h.closed = true
	cancels := h.cancels
	h.cancels = nil
	var all []*Subscription
	for s := range h.all {
		all = append(all, s)
	}
	h.mu.Unlock()
	h.end()
	for _, cancel := range cancels {
		cancel()
	}
	for _, s := range all {
		s.Cancel()
	}
	h.boxes.Wait()
}

// Publish sends m to all who have subscribed to channel, this process too. It
// never blocks: without a hub m waits in a backlog of 1024 messages and 4 MiB,
// which loses its oldest. An error means that m was not sent: ErrFull if the hub
// does not keep up; ctx is done; channel or m is none that can be sent.
func (h *Hub) Publish(ctx context.Context, channel string, m pb.Message) error {
	return h.publish(ctx, newParcel(channel), m, nil)
}

// publish encodes m, if there is one, into p, sends that and frees it.
func (h *Hub) publish(ctx context.Context, p *parcel, m pb.Message, via Via) error {
	defer p.free()
	if ctx.Err() != nil {
		return fmt.Errorf("publish on %s: %w", p.Channel, context.Cause(ctx))
	}
	if err := channel.Check(p.Channel); err != nil {
		return err
	}
	if m != nil {
		body, err := m.AppendTo(p.room[:0])
		if err != nil {
			return fmt.Errorf("encode %s: %w", pb.MessageName(m.MsgID()), err)
		}
		if cap(body) <= maxRoom {
			p.room = body[:0]
		}
		p.MsgId, p.Body = uint32(m.MsgID()), body
	}
	if err := h.engine.Publish(&p.HubPublish, via); err != nil {
		h.count.dropped.Add(1)
		return fmt.Errorf("publish on %s: %w", p.Channel, err)
	}
	h.count.published.Add(1)
	return nil
}

// Flush returns when all that was published and subscribed to here before is
// with the hubs that are linked, at least one: the subscriptions are in force.
func (h *Hub) Flush(ctx context.Context) error { return h.engine.Flush(ctx) }

func (h *Hub) up() {
	select {
	case h.came <- struct{}{}:
	default:
	}
}
