// Package broker is the hub itself: it knows which link subscribes to which
// channel, and passes on what is published. There is one file.
package broker

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/proto/pb"
)

// Broker is the hub's service.
type Broker struct {
	log *slog.Logger

	mu       sync.RWMutex
	channels map[string]map[*link.Link]bool

	published, delivered, dropped atomic.Int64
}

// New makes the hub.
func New(*flag.FlagSet) basefx.Service { return &Broker{channels: map[string]map[*link.Link]bool{}} }

// Start wires the hub.
func (b *Broker) Start(_ context.Context, app *basefx.App) error {
	b.log = app.Logger("hub")
	link.Handle(app.Links, b.subscribe)
	link.Handle(app.Links, b.unsubscribe)
	link.Handle(app.Links, b.publish)
	app.Links.OnDown(b.forget)
	app.Gauge("hub_channels", "Channels with subscribers.", nil, func() float64 {
		b.mu.RLock()
		defer b.mu.RUnlock()
		return float64(len(b.channels))
	})
	for name, n := range map[string]*atomic.Int64{"published": &b.published, "delivered": &b.delivered, "dropped": &b.dropped} {
		app.Counter("hub_messages_total", "Messages published, delivered to a subscriber, dropped because a subscriber does not keep up.",
			map[string]string{"what": name}, func() float64 { return float64(n.Load()) })
	}
	return app.AcceptLinks()
}

func (b *Broker) subscribe(l *link.Link, _ uint64, m *pb.HubSubscribe) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.channels[m.Channel] == nil {
		b.channels[m.Channel] = map[*link.Link]bool{}
	}
	b.channels[m.Channel][l] = true
	return nil
}

func (b *Broker) unsubscribe(l *link.Link, _ uint64, m *pb.HubUnsubscribe) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop(m.Channel, l)
	return nil
}

// forget takes out what an ended link had subscribed to.
func (b *Broker) forget(l *link.Link) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for channel := range b.channels {
		b.drop(channel, l)
	}
}

func (b *Broker) drop(channel string, l *link.Link) {
	delete(b.channels[channel], l)
	if len(b.channels[channel]) == 0 {
		delete(b.channels, channel)
	}
}

// publish passes a message on, encoded once, to every subscriber; a subscriber
// that does not keep up misses it.
func (b *Broker) publish(l *link.Link, _ uint64, m *pb.HubPublish) error {
	m.From = l.ID // never what the message says
	body, err := proto.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode HubPublish: %w", err)
	}
	b.published.Add(1)
	b.mu.RLock()
	defer b.mu.RUnlock()
	for to := range b.channels[m.Channel] {
		first, err := to.Append(link.Control, 0, pb.HubPublishID, body)
		if err != nil {
			b.dropped.Add(1)
			b.log.Debug("subscriber misses a message", "channel", m.Channel, "subscriber", to.ID, "err", err)
			continue
		}
		b.delivered.Add(1)
		if first {
			to.Flush()
		}
	}
	return nil
}
