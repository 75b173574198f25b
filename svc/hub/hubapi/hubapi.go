// Package hubapi is how services send messages to services they are not linked
// to: by channel, through hub.
//
// [Join] connects a process to every hub. A message is published through one
// hub and subscribed to at all of them, so that it arrives at most once, and in
// the order in which its publisher published. A subscriber gets what is
// published after its subscription has reached the hub; it misses what it does
// not keep up with (64 MiB wait for it), and what was on its way when a hub
// died. What must not be missed does not belong here: tell absolute values,
// again and again. hubapi.go has channels, status.go what services tell about
// themselves once a second.
package hubapi

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/util/msgmux"
)

// What is kept while no hub is linked; the oldest is dropped for the newest,
// and counted.
const (
	maxBacklog      = 1024    // messages
	maxBacklogBytes = 4 << 20 // of their bodies
)

// Hub is a process's connection to the hubs. It is usable at once, linked or
// not.
type Hub struct {
	app *basefx.App
	log *slog.Logger

	mu       sync.Mutex
	channels map[string][]handler
	hubs     []*link.Link // that know our subscriptions, in the order they came
	backlog  []*pb.HubPublish
	bytes    int // in backlog

	dropped, failed atomic.Int64

	came     chan struct{} // capacity 1: a hub has come
	statuses statuses
}

type handler struct {
	id   uint16
	call func(from string, body []byte) error
}

// Join links to the hubs. Call it once, in Start.
func Join(app *basefx.App) *Hub {
	h := &Hub{app: app, log: app.Logger("hub"), channels: map[string][]handler{}, came: make(chan struct{}, 1)}
	app.Links.Dial("hub")
	app.Links.OnUp(h.linked)
	app.Links.OnDown(h.unlinked)
	link.Handle(app.Links, h.published)
	app.Counter("hub_dropped_total", "Messages dropped because no hub was there for too long, or did not keep up.", nil, func() float64 { return float64(h.dropped.Load()) })
	app.Counter("hub_failed_total", "Messages from hub that a subscriber's handler failed on.", nil, func() float64 { return float64(h.failed.Load()) })
	return h
}

// Subscribe has f called with every M published on channel, from whom (svcid)
// and what. f runs on the goroutine that reads the hub's link: it must not
// block. Messages of another type on the channel are passed over; an f that
// panics is logged and counted. It may be called at any time.
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
	for _, l := range h.hubs {
		l.Send(0, &pb.HubSubscribe{Channel: channel}) // if it fails the link has ended, and the next one subscribes
	}
}

// Publish sends m to all subscribers of channel, this process too if it is one.
// Without a hub it waits in a backlog of 1024 messages and 4 MiB. An error
// means that m was not sent: the hub does not keep up (cellnet.ErrFull), or m
// is too large. Publish never blocks.
func (h *Hub) Publish(channel string, m pb.Message) error {
	body, err := proto.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode %s: %w", pb.MessageName(m.MsgID()), err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.keep(&pb.HubPublish{Channel: channel, MsgId: uint32(m.MsgID()), Body: body})
	return h.send()
}

// linked subscribes at a hub that has come, and publishes what has waited.
func (h *Hub) linked(l *link.Link) {
	if l.Name != "hub" {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for channel := range h.channels {
		l.Send(0, &pb.HubSubscribe{Channel: channel}) // if it fails the link has ended
	}
	h.hubs = append(h.hubs, l)
	h.send() // errors are counted
	select {
	case h.came <- struct{}{}:
	default:
	}
}

func (h *Hub) unlinked(l *link.Link) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hubs = slices.DeleteFunc(h.hubs, func(o *link.Link) bool { return o == l })
}

// linkedTo reports whether there is a hub to publish through.
func (h *Hub) linkedTo() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.hub() != nil
}

// The functions below are called with mu held.

// hub is the hub that messages are published through; nil if there is none. It
// is the same as long as its link stands, which keeps their order.
func (h *Hub) hub() *link.Link {
	for _, l := range h.hubs {
		if l.Ended() == nil {
			return l
		}
	}
	return nil
}

// keep puts p at the end of the backlog.
func (h *Hub) keep(p *pb.HubPublish) {
	h.backlog = append(h.backlog, p)
	h.bytes += len(p.Body)
	for len(h.backlog) > maxBacklog || h.bytes > maxBacklogBytes && len(h.backlog) > 1 {
		h.pop()
		h.dropped.Add(1)
	}
}

// pop takes the oldest message out of the backlog.
func (h *Hub) pop() {
	h.bytes -= len(h.backlog[0].Body)
	h.backlog[0] = nil
	if h.backlog = h.backlog[1:]; len(h.backlog) == 0 {
		h.backlog = nil
	}
}

// send publishes the backlog as far as there is a hub. The error is about its
// last message.
func (h *Hub) send() (err error) {
	for l := h.hub(); l != nil && len(h.backlog) > 0; l = h.hub() {
		p := h.backlog[0]
		if err = publish(l, p); err != nil && l.Ended() != nil {
			continue // the next hub, or later
		}
		h.pop()
		if err != nil {
			h.dropped.Add(1)
			err = fmt.Errorf("publish on %s through %s: %w", p.Channel, l.ID, err)
		}
	}
	if len(h.backlog) > 0 {
		return nil // it waits
	}
	return err
}

// publish sends p, or loses it: unlike what Link.Send is for, nobody depends on
// a single message.
func publish(l *link.Link, p *pb.HubPublish) error {
	body, err := proto.Marshal(p)
	if err != nil {
		return fmt.Errorf("encode HubPublish: %w", err)
	}
	first, err := l.Append(link.Control, 0, pb.HubPublishID, body)
	if first {
		l.Flush()
	}
	return err
}

// published hands over what a subscription has brought.
func (h *Hub) published(_ *link.Link, _ uint64, p *pb.HubPublish) error {
	h.mu.Lock()
	all := h.channels[p.Channel]
	h.mu.Unlock()
	for _, one := range all {
		if uint32(one.id) != p.MsgId {
			continue
		}
		if err := one.guarded(p); err != nil {
			h.failed.Add(1)
			args := []any{"channel", p.Channel, "from", p.From, "message", pb.MessageName(one.id), "err", err}
			var panicked *msgmux.PanicError
			if errors.As(err, &panicked) {
				args = append(args, "stack", string(panicked.Stack))
			}
			h.log.Error("message from hub failed", args...)
		}
	}
	return nil
}

func (one handler) guarded(p *pb.HubPublish) (err error) {
	defer msgmux.Recover(&err)
	return one.call(p.From, p.Body)
}
