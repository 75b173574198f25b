package broker

import (
	"context"
	"fmt"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/hub/hubapi"
	"github.com/davyxu/cellmesh_demo/util/cellnet"
)

// own is how hub itself publishes and subscribes: here, without a link, and at
// the other hubs, as everybody does.
type own struct {
	broker *Broker
	others hubapi.Engine
}

// Notify implements hubapi.Engine.
func (o *own) Notify(e hubapi.Events) { o.others.Notify(e) }

// Publish implements hubapi.Engine: through this hub, whose counters are about
// others.
func (o *own) Publish(p *pb.HubPublish, _ hubapi.Via) error {
	b := o.broker
	p.From = b.self
	body, err := p.AppendTo(nil)
	if err != nil {
		return err
	}
	if len(body) > hubapi.MaxMessage {
		return fmt.Errorf("%w: %d bytes, at most %d are allowed", cellnet.ErrFrameTooLarge, len(body), hubapi.MaxMessage)
	}
	to := b.subs.Match(p.Channel)
	if len(to) == 0 && p.Reply != "" {
		p = &pb.HubPublish{Channel: p.Reply, From: b.self, Request: p.Request, Nobody: true}
		to = b.subs.Match(p.Channel) // us
	}
	for _, s := range to {
		if s.local != nil {
			s.local(p, nil)
		} else if first, _ := s.append(body); first {
			s.link.Flush()
		}
	}
	return nil
}

// Subscribe implements hubapi.Engine.
func (o *own) Subscribe(pattern string, deliver func(*pb.HubPublish, hubapi.Via)) (cancel func()) {
	here := &subscriber{broker: o.broker, local: deliver}
	o.broker.subs.Add(pattern, here)
	there := o.others.Subscribe(pattern, deliver)
	return func() {
		o.broker.subs.Remove(pattern, here)
		there()
	}
}

// Flush implements hubapi.Engine: nothing waits here.
func (o *own) Flush(ctx context.Context) error {
	if o.others.Up() {
		return o.others.Flush(ctx)
	}
	return nil
}

// Up implements hubapi.Engine.
func (o *own) Up() bool { return true }
