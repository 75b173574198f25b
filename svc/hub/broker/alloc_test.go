//go:build !race

package broker

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/hub/hubapi"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// From Publish through the hub to what many subscribers' links bring, a message
// costs no allocation, nor does a subscriber more.
func TestAllocations(t *testing.T) {
	const subscribers, messages = 10, 20_000
	memory := discovery.NewMemory()
	b, _ := launchHub(t, memory)
	var got atomic.Int64
	for i := range subscribers {
		s := openLinks(t, memory, fmt.Sprintf("reader#%d@dev", i), nothing(), func(*link.Links) {})
		s.engine.Subscribe("news", func(*pb.HubPublish, hubapi.Via) { got.Add(1) })
	}
	p := join(t, memory)
	subscribed(t, b, "news", subscribers)
	m := &pb.ChatACK{Content: "what is new"}
	ctx := t.Context()
	run := func() {
		got.Store(0)
		for i := range messages {
			if err := p.hub.Publish(ctx, "news", m); err != nil {
				t.Fatal(err)
			}
			if i%1000 == 999 {
				for got.Load() < int64((i+1)*subscribers) {
					runtime.Gosched()
				}
			}
		}
	}
	eventually(t, "linked", func() bool { return p.app.Links.Get("hub#0@dev") != nil })
	run() // buffers grow
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	run()
	runtime.ReadMemStats(&after)
	if n := after.Mallocs - before.Mallocs; n > messages/10 {
		t.Errorf("%d allocations for %d messages", n, messages)
	}
}
