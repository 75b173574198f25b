package gateway_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/tool/cluster"
)

// Whatever happens to the links between two agents and two instances that want
// to know everybody, while clients come, speak and go: when it is over each
// client is known to exactly one instance, and every instance knows who is
// online.
func TestExactlyOne(t *testing.T) {
	r := newRig(t, "-maxviolations=0")
	agents := []*rig{r, {Cluster: r.Cluster, game: r.game, agent: r.Launch("agent", "-maxviolations=0").WaitReady()}}
	socials := []*stub{r.greeter(t), r.greeter(t)}
	var wg sync.WaitGroup
	over := make(chan struct{}) // when links were cut often enough
	wg.Go(func() {
		defer close(over)
		cut := errors.New("cut by the test")
		for cuts := 0; cuts < 30; time.Sleep(rand.N(20 * time.Millisecond)) { // so that cuts meet all stages
			if l := agents[rand.IntN(2)].agent.App.Links.Get(fmt.Sprintf("social#%d@dev", rand.IntN(2))); l != nil {
				l.Close(cut)
				cuts++
			}
		}
	})
	var mu sync.Mutex
	var stay []string
	for i := range 4 {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-over:
					return
				case <-time.After(rand.N(4 * time.Millisecond)):
				}
				uid := fmt.Sprintf("u%d-%d", i, n)
				p, err := agents[n%2].tryDial(t, "tcp")
				if err != nil {
					t.Error(err)
					return
				}
				p.send(t, &pb.VerifyREQ{GameToken: uid})
				if got := p.next(t); got.body != "" {
					t.Errorf("%s: %v", uid, got)
				}
				if n%3 == 0 {
					p.session.SendMessage(pb.ChatREQID, nil) // it may be what binds
				}
				if n%2 == 0 {
					p.session.Close(nil)
					continue
				}
				mu.Lock()
				stay = append(stay, uid)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.Sort(stay)
	var held, online []string
	defer func() {
		if t.Failed() {
			t.Logf("want %q\nheld %q\nonline %q", stay, held, online)
		}
	}()
	cluster.Eventually(t, "each client is known to exactly one instance", func() bool {
		held = slices.Sorted(slices.Values(slices.Concat(socials[0].holds(), socials[1].holds())))
		return slices.Equal(held, stay)
	})
	for _, s := range socials {
		cluster.Eventually(t, s.App.Self().ID+" knows who is online", func() bool {
			online = nil
			for _, u := range s.clients.OnlineUsers(100_000) {
				online = append(online, u.UID)
			}
			return slices.Equal(online, stay)
		})
	}
}
