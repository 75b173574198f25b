// Package hubapi is how services send messages to services they are not linked
// to: by channel, through hub.
//
// [Join] connects a process to every hub. A message is published through one
// hub and subscribed to at all of them, so that it arrives once. hubapi.go has
// channels, status.go what services tell about themselves once a second.
package hubapi

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/proto/pb"
)

// maxBacklog bounds the messages kept while no hub is linked; the oldest are
// dropped, and counted.
const maxBacklog = 1024

// Hub is a process's connection to the hubs. It is usable at once, linked or
// not.
type Hub struct {
	app   *basefx.App
	links *link.Links
	log   *slog.Logger

	mu       sync.Mutex
	channels map[string][]handler
	backlog  []*pb.HubPublish

	dropped, failed atomic.Int64

	statuses statuses
}

type handler struct {
	id   uint16
	call func(from string, body []byte) error
}

// Join links to the hubs. Call it once, in Start.
func Join(app *basefx.App) *Hub {
	h := &Hub{app: app, links: app.Links, log: app.Logger("hub"), channels: map[string][]handler{}}
	app.Links.Dial("hub")
	app.Links.OnUp(h.linked)
	link.Handle(app.Links, h.published)
	app.Counter("hub_dropped_total", "Messages dropped because no hub was there for too long, or did not keep up.", nil, func() float64 { return float64(h.dropped.Load()) })
	app.Counter("hub_failed_total", "Messages from hub that a subscriber's handler failed on.", nil, func() float64 { return float64(h.failed.Load()) })
	return h
}

// Subscribe has f called with every M published on channel, from whom (svcid)
// and what. f runs on the goroutine that reads the hub's link: it must not
// block. Messages of another type on the channel are passed over.
func Subscribe[M any, P interface {
	*M
	pb.Message
}](h *Hub, channel string, f func(from string, m *M)) {
	var zero P
	h.subscribe(channel, handler{zero.MsgID(), func(from string, body []byte) error {
		m := P(new(M))
		if err := proto.Unmarshal(body, m); err != nil {
			return err
		}
		f(from, (*M)(m))
		return nil
	}})
}

func (h *Hub) subscribe(channel string, one handler) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.channels[channel] = append(h.channels[channel], one)
	for _, l := range h.links.Named("hub") {
		l.Send(0, &pb.HubSubscribe{Channel: channel}) // a link that ended subscribes anew when it is back
	}
}

// Publish sends m to all subscribers of channel. Without a hub it waits in a
// backlog of 1024 messages.
func (h *Hub) Publish(channel string, m pb.Message) error {
	body, err := proto.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode %s: %w", pb.MessageName(m.MsgID()), err)
	}
	p := &pb.HubPublish{Channel: channel, MsgId: uint32(m.MsgID()), Body: body}
	h.mu.Lock()
	defer h.mu.Unlock()
	if l := h.hub(); l != nil {
		return h.send(l, p)
	}
	if len(h.backlog) == maxBacklog {
		h.backlog = h.backlog[1:]
		h.dropped.Add(1)
	}
	h.backlog = append(h.backlog, p)
	return nil
}

// hub is the hub that messages are published through: all services prefer the
// same one, which keeps the order of one publisher's messages.
func (h *Hub) hub() *link.Link {
	for _, l := range h.links.Named("hub") {
		if l.Ended() == nil {
			return l
		}
	}
	return nil
}

func (h *Hub) send(l *link.Link, p *pb.HubPublish) error {
	if err := l.Send(0, p); err != nil {
		h.dropped.Add(1)
		return fmt.Errorf("publish on %s through %s: %w", p.Channel, l.ID, err)
	}
	return nil
}

// linked subscribes at a hub that has come, and publishes what has waited.
func (h *Hub) linked(l *link.Link) {
	if l.Name != "hub" {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for channel := range h.channels {
		l.Send(0, &pb.HubSubscribe{Channel: channel})
	}
	for _, p := range h.backlog {
		h.send(l, p)
	}
	h.backlog = nil
}

func (h *Hub) published(l *link.Link, _ uint64, p *pb.HubPublish) error {
	h.mu.Lock()
	all := h.channels[p.Channel]
	h.mu.Unlock()
	for _, one := range all {
		if uint32(one.id) != p.MsgId {
			continue
		}
		if err := one.call(p.From, p.Body); err != nil {
			h.failed.Add(1)
			h.log.Error("message from hub failed", "channel", p.Channel, "from", p.From, "message", pb.MessageName(one.id), "err", err)
		}
	}
	return nil
}

// every runs f once a second until the process has drained.
func (h *Hub) every(name string, f func(ctx context.Context)) {
	h.app.Go(name, func(ctx context.Context) error { return tick(ctx, f) })
}
