package broker

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/hub/hubapi"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

func nothing() hubapi.Events {
	return hubapi.Events{Up: func() {}, Missed: func(uint64) {}, Dropped: func() {}}
}

// A process that does not read its link is cut off, told where and how much it
// has missed when it reads again, and counted; others, and the hub, go on
// meanwhile.
func TestSlowProcess(t *testing.T) {
	memory := discovery.NewMemory()
	b, hub := launchHub(t, memory, fmt.Sprint("-maxpending=", hubapi.MaxMessage))
	quick := join(t, memory)
	var mu sync.Mutex
	var got []string
	var missed uint64
	note := func(s string) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, s)
	}
	stuck, release := make(chan struct{}), make(chan struct{})
	events := nothing()
	events.Missed = func(n uint64) {
		mu.Lock()
		missed += n
		mu.Unlock()
		note("missed")
	}
	slow := openLinks(t, memory, "slow#0@dev", events, func(*link.Links) {})
	slow.engine.Subscribe("news", func(p *pb.HubPublish, _ hubapi.Via) {
		var n pb.NoticeREQ
		if err := n.Decode(p.Body); err != nil {
			t.Error(err)
		}
		if n.Text == "first" {
			close(stuck)
			<-release
		}
		note(strings.Trim(n.Text, "x"))
	})
	quick.subscribe("news")
	subscribed(t, b, "news", 2)
	quick.publish("news", "first")
	<-stuck
	const sent = 400
	padding := strings.Repeat("x", 50<<10) // more in all than sockets and -maxpending hold
	for i := range sent {
		quick.publish("news", fmt.Sprint(i, padding))
		if i%50 == 0 { // so that the quick one's own queue, and its way to the hub, are long enough
			eventually(t, "the quick one keeps up", func() bool { return len(quick.all()) == i+2 })
		}
	}
	quick.publish("news", "last")
	eventually(t, "the quick one has all", func() bool { return quick.has("news member#0@dev: last") })
	if n := len(quick.all()); n != sent+2 {
		t.Errorf("the quick one has %d messages", n)
	}
	if b.cuts.Load() != 1 || b.dropped.Load() == 0 {
		t.Errorf("cut off %d times, %d dropped", b.cuts.Load(), b.dropped.Load())
	}
	close(release)
	eventually(t, "told", func() bool { mu.Lock(); defer mu.Unlock(); return missed > 0 })
	quick.publish("news", "after")
	eventually(t, "goes on", func() bool { mu.Lock(); defer mu.Unlock(); return len(got) > 0 && got[len(got)-1] == "after" })
	mu.Lock()
	defer mu.Unlock()
	if n := len(got) - 3 + int(missed); n != sent+1 || missed != uint64(b.dropped.Load()) { // without first, missed and after
		t.Errorf("%d arrived and %d were missed: %d of %d", len(got)-3, missed, n, sent+1)
	}
	if got[0] != "first" || got[len(got)-2] != "missed" {
		t.Errorf("missed is not told in its place: %q", got[len(got)-3:])
	}
	for i, text := range got[1 : len(got)-2] {
		if text != fmt.Sprint(i) {
			t.Fatalf("message %d is %s", i, text)
		}
	}
	if log := hub.log.String(); !strings.Contains(log, "cut off") || !strings.Contains(log, "keeps up again") || !strings.Contains(log, fmt.Sprint("missed=", missed)) {
		t.Errorf("log: %s", log)
	}
}
