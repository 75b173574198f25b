package broker

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/svc/hub/hubapi"
	"github.com/davyxu/cellmesh_demo/svc/hub/hubapi/contract"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// The engine over hubs, with real sockets, keeps the contract: with one hub, and
// with two.
func TestContract(t *testing.T) {
	for hubs := 1; hubs <= 2; hubs++ {
		t.Run(fmt.Sprint(hubs, " hubs"), func(t *testing.T) {
			contract.Run(t, func(t *testing.T) contract.Open {
				memory := discovery.NewMemory()
				for range hubs {
					launchHub(t, memory)
				}
				return func(svcid string, events hubapi.Events) hubapi.Engine {
					m := openLinks(t, memory, svcid, events, func(*link.Links) {})
					if hubs > 1 { // the one that comes last misses what is published before
						eventually(t, "linked to all hubs", func() bool { return len(m.links.Named("hub")) == hubs })
					}
					return m.engine
				}
			})
		})
	}
}

// bare is a process as far as hubs can tell: links, and an engine.
type bare struct {
	links  *link.Links
	engine hubapi.Engine
	self   discovery.Service
}

// openLinks runs links until the test ends; wire is called first.
func openLinks(t *testing.T, memory *discovery.Memory, svcid string, events hubapi.Events, wire func(*link.Links)) *bare {
	name, index, group, err := discovery.ParseID(svcid)
	if err != nil {
		t.Fatal(err)
	}
	rule, err := link.ParseRule("", group)
	if err != nil {
		t.Fatal(err)
	}
	m := &bare{self: discovery.Service{ID: svcid, Name: name, Index: index, Group: group, Epoch: uint64(time.Now().UnixNano())}}
	reg := memory.Open()
	m.links = link.New(link.Config{Self: func() discovery.Service { return m.self }, Registry: reg, Rule: rule, Log: slog.New(slog.DiscardHandler)})
	wire(m.links)
	engine, run := hubapi.OverLinks(m.links)
	m.engine = engine
	engine.Notify(events)
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() { run(ctx) })
	all.Go(func() { m.links.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		all.Wait()
		reg.Close()
	})
	return m
}
