package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/hub/hubapi"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// perSecond are the figures of one run of hub.
type perSecond struct{ counting, handling float64 }

// measureHub is one run of hub.
func measureHub(ctx context.Context, o options, dir string, n int) (r perSecond, err error) {
	memsd, addr, err := start(after(" ready addr="), o.memsd, "-addr=127.0.0.1:0", "-datafile="+filepath.Join(dir, "persist.json"), "-flagfile=", "-httpaddr=", "-loglevel=info")
	if err != nil {
		return r, err
	}
	defer memsd.kill()
	hub, _, err := start(after(" ready "), o.hub, "-sdaddr="+addr, "-flagfile=", "-httpaddr=", "-loglevel=info")
	if err != nil {
		return r, err
	}
	defer hub.kill()
	registry := discovery.Dial(ctx, addr, discovery.Options{Name: "benchmark"})
	defer registry.Close()
	if r.counting, err = driveHub(ctx, o, registry, n, count); err != nil {
		return r, err
	}
	r.handling, err = driveHub(ctx, o, registry, n, handle)
	return r, err
}

// driveHub measures n subscribers of one kind.
func driveHub(ctx context.Context, o options, registry discovery.Registry, n int, subscriber func(discovery.Registry, int, *counter) *member) (float64, error) {
	got := make([]counter, n)
	for i := range got {
		m := subscriber(registry, i+1, &got[i])
		m.start(ctx)
		defer m.stop()
		if err := m.hub.Flush(ctx); err != nil {
			return 0, err
		}
	}
	p := newMember(registry, 0, func(*link.Links) {})
	p.start(ctx)
	defer p.stop()
	if err := p.hub.Flush(ctx); err != nil {
		return 0, err
	}
	m := message(o)
	return drive(ctx, o, got, func() error {
		err := p.hub.Publish(ctx, subject, m)
		for errors.Is(err, hubapi.ErrFull) {
			time.Sleep(time.Millisecond)
			err = p.hub.Publish(ctx, subject, m)
		}
		return err
	})
}

// member is a process of the cluster, as far as hub can tell.
type member struct {
	links  *link.Links
	hub    *hubapi.Hub
	run    func(context.Context)
	cancel context.CancelFunc
	all    sync.WaitGroup
}

// newMember makes a member; wire is called first.
func newMember(registry discovery.Registry, i int, wire func(*link.Links)) *member {
	self := discovery.Service{ID: discovery.FormatID("bench", i, "dev"), Name: "bench", Index: i, Group: "dev", Epoch: uint64(time.Now().UnixNano())}
	rule, err := link.ParseRule("", "dev")
	if err != nil {
		panic(fmt.Sprintf("no rule is one: %v", err))
	}
	log := slog.New(slog.DiscardHandler)
	m := &member{}
	m.links = link.New(link.Config{Self: func() discovery.Service { return self }, Registry: registry, Rule: rule, Log: log})
	wire(m.links)
	engine, run := hubapi.OverLinks(m.links)
	m.hub, m.run = hubapi.New(engine, self, log), run
	return m
}

func (m *member) start(ctx context.Context) {
	ctx, m.cancel = context.WithCancel(ctx)
	m.all.Go(func() { m.run(ctx) })
	m.all.Go(func() { m.links.Run(ctx) })
}

func (m *member) stop() {
	m.cancel()
	m.all.Wait()
	m.hub.Close()
}

// handle makes a subscriber as services have them.
func handle(registry discovery.Registry, i int, got *counter) *member {
	m := newMember(registry, i, func(*link.Links) {})
	hubapi.Subscribe(m.hub, subject, func(string, *pb.ChatACK) { got.n.Add(1) })
	return m
}

// count makes a subscriber that counts frames without a look into them.
func count(registry discovery.Registry, i int, got *counter) *member {
	return newMember(registry, i, func(links *link.Links) {
		links.OnUp(func(l *link.Link) { l.Send(0, &pb.HubSubscribe{Channel: subject}) }) // if it fails, drive gets stuck and says so
		links.ReceiveControl(pb.HubPublishID, func(*link.Link) link.Receiver { return &counting{got: got} })
	})
}

type counting struct {
	got *counter
	n   int64
}

func (c *counting) Frame(link.Frame) error { c.n++; return nil }
func (c *counting) Down(error)             {}
func (c *counting) Batch() {
	c.got.n.Add(c.n)
	c.n = 0
}
