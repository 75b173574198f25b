package choice

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/hub/hubapi"
)

// On a slow machine clients take seconds to arrive where they were sent, and
// what games say takes seconds to arrive at login. All stay even nevertheless,
// from the first login on.
func TestSlow(t *testing.T) {
	for _, c := range []struct {
		logins          int
		rate            int           // a second
		latency, delays time.Duration // at most
	}{
		{1, 1000, 2 * time.Second, 0},
		{1, 250, 4 * time.Second, 0},
		{1, 1000, 10 * time.Millisecond, 3 * time.Second},
		{1, 250, 4 * time.Second, 3 * time.Second},
		{2, 250, 4 * time.Second, 3 * time.Second},
		{2, 60, 4 * time.Second, 3 * time.Second},
	} {
		t.Run(fmt.Sprintf("%d logins, %d a second, %v and %v", c.logins, c.rate, c.latency, c.delays), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for range 20 {
					newWorld(t, 4, c.logins).slowly(c.rate, c.latency, c.delays)
				}
			})
		})
	}
}

// slowly has 1,000 players log in.
func (v *world) slowly(rate int, latency, delays time.Duration) {
	type event struct {
		at time.Time
		do func()
	}
	var events []event
	upTo := func(most time.Duration) time.Time { return time.Now().Add(time.Duration(rand.Int64N(int64(most) + 1))) }
	phase, heard := map[string]int{}, map[string]time.Time{}
	for id := range v.leases {
		phase[id] = rand.IntN(100)
	}
	logins := 0.0
	for n, step := 0, 0; n < 1000; step++ {
		time.Sleep(10 * time.Millisecond)
		for id, lease := range v.leases {
			if (step+phase[id])%100 == 0 {
				said := &pb.ServiceStatus{Players: uint32(v.players[id]), Epoch: lease.Service().Epoch}
				if at := upTo(delays); at.After(heard[id]) { // what one says stays in order
					heard[id] = at
				}
				events = append(events, event{heard[id], func() { v.says[id] = hubapi.Status{ServiceStatus: said, At: time.Now()} }})
			}
		}
		later := events[:0]
		for _, e := range events {
			if time.Now().Before(e.at) {
				later = append(later, e)
			} else {
				e.do()
			}
		}
		events = later
		for logins += float64(rate) / 100; logins >= 1 && n < 1000; logins-- {
			n++
			id := v.choosers[rand.IntN(len(v.choosers))].Choose("game", Request{}, anyone).ID
			v.sent[id]++
			events = append(events, event{upTo(latency), func() { v.players[id]++ }})
		}
	}
	v.even(v.sent, 1000, 4)
}
