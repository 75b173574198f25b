// Package broker is the hub: services subscribe to channels over their links, and
// what one publishes goes to all subscribers of the channel. It keeps nothing:
// who was not there misses it. Use it through hubapi, which subscribes anew when
// a hub comes back.
//
// broker.go wires it, publish.go is the way of a message, subscriber.go what a
// subscriber is owed, own.go how hub itself takes part, page.go the page for
// operators.
package broker

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/hub/hubapi"
	"github.com/davyxu/cellmesh_demo/svc/hub/hubapi/channel"
)

// Broker is the hub's service.
type Broker struct {
	maxPending int

	app  *basefx.App
	log  *slog.Logger
	self string // svcid
	subs channel.Table[*subscriber]
	hub  *hubapi.Hub

	mu    sync.Mutex
	links map[*link.Link]*subscriber

	published, delivered, dropped, cuts, nobody atomic.Int64
}

// New makes the hub and adds its flags.
func New(fs *flag.FlagSet) basefx.Service {
	b := &Broker{links: map[*link.Link]*subscriber{}}
	fs.IntVar(&b.maxPending, "maxpending", 16<<20, "bytes that may wait for a subscriber that does not keep up; then it is sent nothing until it has read most of them")
	return b
}

// Start wires the hub.
func (b *Broker) Start(_ context.Context, app *basefx.App) error {
	if b.maxPending < hubapi.MaxMessage {
		return fmt.Errorf("-maxpending=%d: must be at least %d, the largest message", b.maxPending, hubapi.MaxMessage)
	}
	b.app, b.log, b.self = app, app.Logger("hub"), app.Self().ID
	app.Links.LimitPending(b.maxPending)
	link.Handle(app.Links, b.subscribe)
	link.Handle(app.Links, b.unsubscribe)
	link.Handle(app.Links, func(l *link.Link, _ uint64, m *pb.HubSync) error {
		l.Send(0, &pb.HubSynced{Number: m.Number}) // if it fails the link has ended
		return nil
	})
	app.Links.ReceiveControl(pb.HubPublishID, b.open)
	app.Links.OnDown(b.forget)
	app.Go("slow subscribers", b.resume)
	app.Gauge("hub_channels", "Channels and patterns with subscribers.", nil, func() float64 { return float64(b.subs.Len()) })
	for name, n := range map[string]*atomic.Int64{"published": &b.published, "delivered": &b.delivered, "dropped": &b.dropped, "nobody": &b.nobody} {
		app.Counter("hub_messages_total", "Messages published, delivered to a subscriber, dropped because a subscriber does not keep up; requests that nobody had subscribed to.",
			map[string]string{"what": name}, func() float64 { return float64(n.Load()) })
	}
	app.Counter("hub_slow_subscribers_total", "Times a subscriber was cut off because it does not keep up.", nil, func() float64 { return float64(b.cuts.Load()) })
	b.hub = hubapi.JoinBeside(app, func(others hubapi.Engine) hubapi.Engine { return &own{broker: b, others: others} })
	b.hub.WatchStatus()
	b.hub.ReportStatus(func() *pb.ServiceStatus { return &pb.ServiceStatus{} })
	hubapi.Answer(b.hub, hubapi.Own, b.tellStatus)
	app.HandleHTTP("GET /status", http.HandlerFunc(b.showStatus))
	return app.AcceptLinks()
}

// of is the subscriber at the other end of a link.
func (b *Broker) of(l *link.Link) *subscriber {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.links[l]
	if s == nil {
		s = &subscriber{broker: b, link: l}
		b.links[l] = s
	}
	return s
}

func (b *Broker) subscribe(l *link.Link, _ uint64, m *pb.HubSubscribe) error {
	if err := channel.CheckPattern(m.Channel); err != nil {
		return fmt.Errorf("hub: %s subscribes: %w", l.ID, err)
	}
	b.subs.Add(m.Channel, b.of(l))
	return nil
}

func (b *Broker) unsubscribe(l *link.Link, _ uint64, m *pb.HubUnsubscribe) error {
	b.subs.Remove(m.Channel, b.of(l))
	return nil
}

// forget takes out what an ended link had subscribed to. Nothing of the link
// comes after it.
func (b *Broker) forget(l *link.Link) {
	b.subs.RemoveAll(b.of(l))
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.links, l)
}
