package hubapi

import (
	"context"
	"fmt"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/hub/hubapi/channel"
	"github.com/davyxu/cellmesh_demo/util/cellnet"
)

// Memory connects engines in one process, for tests. The zero Memory is ready.
type Memory struct{ subs channel.Table[*receiver] }

// Open makes the engine of a process called svcid.
func (m *Memory) Open(svcid string) Engine { return &memoryEngine{memory: m, svcid: svcid} }

type memoryEngine struct {
	memory *Memory
	svcid  string
}

// Notify implements Engine; there is nothing to tell.
func (e *memoryEngine) Notify(Events) {}

// Publish implements Engine: it delivers on the calling goroutine.
func (e *memoryEngine) Publish(p *pb.HubPublish, _ Via) error {
	if n := p.SizeVT(); n > MaxMessage {
		return fmt.Errorf("%w: %d bytes, at most %d are allowed", cellnet.ErrFrameTooLarge, n, MaxMessage)
	}
	p.From = e.svcid
	to := e.memory.subs.Match(p.Channel)
	if p.Reply != "" && len(to) == 0 {
		p = &pb.HubPublish{Channel: p.Reply, From: e.svcid, Request: p.Request, Nobody: true}
		to = e.memory.subs.Match(p.Channel)
	}
	for _, r := range to {
		r.deliver(p, nil)
	}
	return nil
}

// Subscribe implements Engine.
func (e *memoryEngine) Subscribe(pattern string, deliver func(*pb.HubPublish, Via)) (cancel func()) {
	r := &receiver{deliver}
	e.memory.subs.Add(pattern, r)
	return func() { e.memory.subs.Remove(pattern, r) }
}

// Flush implements Engine: nothing ever waits.
func (e *memoryEngine) Flush(context.Context) error { return nil }

// Up implements Engine.
func (e *memoryEngine) Up() bool { return true }
