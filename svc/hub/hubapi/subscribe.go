package hubapi

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/hub/hubapi/channel"
	"github.com/davyxu/cellmesh_demo/util/msgmux"
)

// Own stands for the channels of this service: its name and its svcid.
const Own = ""

// Delivery tells where a message came from.
type Delivery struct {
	Channel string // it was published on
	From    string // svcid of the publisher, as the hub knows it
}

// Option changes a subscription.
type Option func(*Subscription)

// Missed has f called, between two messages, where about n messages are missing
// because this handler or this process did not keep up (other subscriptions'
// messages may be among them); 0 if nobody knows whether and how many, because the
// way to a hub was lost.
func Missed(f func(n uint64)) Option { return func(s *Subscription) { s.missed = f } }

// Subscription is one handler of the messages of a channel, or of a pattern.
type Subscription struct {
	hub     *Hub
	pattern string
	id      uint16
	decode  func(body []byte) (pb.Message, error)
	call    func(it *item) error
	missed  func(n uint64) // nil: not told
	cancel  func()         // at the engine; nil for Own
	over    atomic.Bool
	queue   queue
}

// Subscribe has f called with every M published on a channel that pattern matches
// ([Own]: on our own), from whom (svcid) and what. One subscription's calls come
// one after the other; f may block, which is its own loss: see [MaxWaiting].
// Messages of other types are passed over; an f that panics is logged and counted.
// It may be called at any time. A pattern that is none is a mistake, and panics.
func Subscribe[M any, P interface {
	*M
	pb.Message
}](h *Hub, pattern string, f func(from string, m *M), options ...Option) *Subscription {
	return Listen[M, P](h, pattern, func(at Delivery, m *M) { f(at.From, m) }, options...)
}

// Listen is Subscribe for those who want to know the channel too.
func Listen[M any, P interface {
	*M
	pb.Message
}](h *Hub, pattern string, f func(at Delivery, m *M), options ...Option) *Subscription {
	var zero P
	return h.subscribe(&Subscription{
		hub: h, pattern: pattern, id: zero.MsgID(), decode: decode[M, P],
		call: func(it *item) error {
			f(*it.at, (*M)(it.m.(P)))
			return nil
		},
	}, options)
}

func decode[M any, P interface {
	*M
	pb.Message
}](body []byte) (pb.Message, error) {
	m := P(new(M))
	return m, m.Decode(body)
}

// subscribe puts s in force.
func (h *Hub) subscribe(s *Subscription, options []Option) *Subscription {
	for _, o := range options {
		o(s)
	}
	if s.pattern != Own {
		if err := channel.CheckPattern(s.pattern); err != nil {
			panic("hubapi: " + err.Error())
		}
	}
	s.queue.start = s.work
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return s
	}
	h.all[s] = struct{}{}
	if s.pattern == Own {
		h.own[s.id] = append(slices.Clip(h.own[s.id]), s)
	} else {
		s.cancel = h.engine.Subscribe(s.pattern, s.deliver)
	}
	return s
}

// Cancel ends the subscription. Its handler is not called any more when Cancel
// has returned, but for a call that is under way.
func (s *Subscription) Cancel() {
	h := s.hub
	h.mu.Lock()
	_, is := h.all[s]
	delete(h.all, s)
	if s.pattern == Own {
		h.own[s.id] = slices.DeleteFunc(slices.Clone(h.own[s.id]), func(o *Subscription) bool { return o == s })
	}
	h.mu.Unlock()
	if !is {
		return
	}
	if s.cancel != nil {
		s.cancel()
	}
	s.over.Store(true)
}

// toUs takes what came on our own channels.
func (h *Hub) toUs(p *pb.HubPublish, via Via) {
	h.mu.Lock()
	all := h.own[uint16(p.MsgId)]
	h.mu.Unlock()
	if len(all) == 0 {
		h.count.unhandled.Add(1)
		if p.Reply != "" {
			h.refuse(newAsks(p, via), msgmux.Refuse(pb.ResultCode_BadRequest, "%s answers no %s", h.svcid, pb.MessageName(uint16(p.MsgId))))
		}
	}
	for _, s := range all {
		s.deliver(p, via)
	}
}

// deliver puts a message into the queue.
func (s *Subscription) deliver(p *pb.HubPublish, via Via) {
	if uint32(s.id) != p.MsgId {
		return
	}
	m, err := s.decode(p.Body)
	if err != nil {
		s.failed(p.From, fmt.Errorf("decode: %w", err))
		return
	}
	s.hub.count.received.Add(1)
	it := item{m: m}
	if p.Reply != "" {
		it.asks = newAsks(p, via)
	}
	if s.over.Load() {
		return
	}
	missing := s.queue.put(&s.hub.boxes, it, p)
	if missing == 0 {
		return
	}
	s.hub.count.missedQueue.Add(1)
	if missing > 1 {
		return // it has been said
	}
	if unsaid, ok := s.hub.failures.Say(); ok {
		s.hub.log.Warn("a handler does not keep up and misses messages", "channel", s.pattern, "message", pb.MessageName(s.id), "waiting", MaxWaiting, "unsaid", unsaid)
	}
}

// missed tells who wants to know that messages are missing here.
func (h *Hub) missed(n uint64) {
	h.count.missedHub.Add(int64(n))
	if n == 0 {
		h.count.cut.Add(1)
	} else {
		h.log.Warn("this process does not keep up with the hub and misses messages", "messages", n)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.all {
		if s.missed != nil {
			s.queue.miss(&h.boxes, n)
		}
	}
}

// work handles what is in the queue until it is empty.
func (s *Subscription) work() {
	var batch []item
	for {
		if batch = s.queue.take(batch); len(batch) == 0 {
			return
		}
		for i := range batch {
			if !s.over.Load() {
				s.handle(&batch[i])
			}
		}
		clear(batch)
	}
}

// handle runs one item.
func (s *Subscription) handle(it *item) {
	err := s.guarded(it)
	switch {
	case err == nil:
		return
	case it.asks != nil:
		s.hub.refuse(it.asks, err)
	}
	var no *msgmux.Refusal
	if !errors.As(err, &no) {
		s.failed(it.from(), err)
	}
}

func (s *Subscription) guarded(it *item) (err error) {
	defer msgmux.Recover(&err)
	if it.m != nil {
		return s.call(it)
	}
	if s.missed != nil {
		s.missed(it.missing)
	}
	return nil
}

func (s *Subscription) failed(from string, err error) {
	s.hub.count.failed.Add(1)
	unsaid, ok := s.hub.failures.Say()
	if !ok {
		return
	}
	args := []any{"channel", s.pattern, "from", from, "message", pb.MessageName(s.id), "err", err, "unsaid", unsaid}
	var panicked *msgmux.PanicError
	if errors.As(err, &panicked) {
		args = append(args, "stack", string(panicked.Stack))
	}
	s.hub.log.Error("message from hub failed", args...)
}
