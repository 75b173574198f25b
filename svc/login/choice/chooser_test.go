package choice

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/hub/hubapi"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// town is a chooser with what it chooses from.
type town struct {
	*Chooser
	t      *testing.T
	reg    discovery.Registry
	leases map[string]discovery.Lease
	says   map[string]hubapi.Status
}

func newTown(t *testing.T, games int) *town {
	w := &town{t: t, reg: discovery.NewMemory().Open(), leases: map[string]discovery.Lease{}, says: map[string]hubapi.Status{}}
	t.Cleanup(func() { w.reg.Close() })
	for range games {
		w.register(discovery.Service{Name: "game", Index: -1, Group: "dev", State: discovery.Ready})
	}
	w.Chooser = w.chooser()
	return w
}

// chooser makes a further one, of another login.
func (w *town) chooser() *Chooser {
	return New(w.reg, func(s *discovery.Service) bool { return s.Group == "dev" },
		func(svcid string) (hubapi.Status, bool) {
			s, ok := w.says[svcid]
			return s, ok && s.Age() < unknown
		}, Two{})
}

func (w *town) register(s discovery.Service) {
	w.t.Helper()
	l, err := w.reg.Register(w.t.Context(), s)
	if err != nil {
		w.t.Fatal(err)
	}
	w.leases[l.Service().ID] = l
}

// tell has a game say how many players it has, some time ago.
func (w *town) tell(svcid string, players int, ago time.Duration) {
	w.says[svcid] = hubapi.Status{
		ServiceStatus: &pb.ServiceStatus{Players: uint32(players), Epoch: w.leases[svcid].Service().Epoch},
		At:            time.Now().Add(-ago),
	}
}

func anyone(*discovery.Service) bool { return true }

func id(i int) string { return fmt.Sprintf("game#%d@dev", i) }

// choose chooses n games and counts.
func (w *town) choose(n int) map[string]int {
	w.t.Helper()
	got := map[string]int{}
	for range n {
		svc := w.Choose("game", Request{}, anyone)
		if svc == nil {
			w.t.Fatal("nobody was chosen")
		}
		got[svc.ID]++
	}
	return got
}

// even checks that n games got the same, within a tenth.
func (w *town) even(got map[string]int, total, n int) {
	w.t.Helper()
	for i := range n {
		if share := total / n; got[id(i)] < share*9/10 || got[id(i)] > share*11/10 {
			w.t.Errorf("%s got %d of %d, want %d within a tenth", id(i), got[id(i)], total, share)
		}
	}
}

// seen lets the time pass, in which these tell, after which those who say nothing
// are suspicious.
func (w *town) seen(ids ...string) {
	for range 3 {
		for _, id := range ids {
			w.tell(id, int(w.says[id].GetPlayers()), 0)
		}
		w.Choose("game", Request{}, anyone)
		time.Sleep(resuming / 2)
	}
}

// 1,000 logins spread evenly, whether anything is known of the games or not.
func TestSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 20 {
			w := newTown(t, 4)
			w.even(w.choose(1000), 1000, 4)
			for svcid := range w.leases {
				w.tell(svcid, 42, 0)
			}
			time.Sleep(2 * arrival)
			for svcid := range w.leases {
				w.tell(svcid, 42, 0)
			}
			w.even(w.choose(1000), 1000, 4)
		}
	})
}

// world is games that tell once a second, each at its own time, and players who
// arrive some time after they were sent and leave some time later.
type world struct {
	*town
	players  map[string]int
	choosers []*Chooser
	sent     map[string]int
	latency  time.Duration // from login to where they were sent
	mute     bool          // hub is away
	under    []arriving    // those on their way
}

type arriving struct {
	id string
	at time.Time
}

// run has rate players log in every second. Time goes by in steps of 10 ms.
func (v *world) run(rate int, lasts time.Duration) {
	start := time.Now()
	logins := 0.0
	for step := 0; time.Since(start) < lasts; step++ {
		time.Sleep(10 * time.Millisecond)
		for id := range v.leases {
			if (step+v.leases[id].Service().Index*23)%100 == 0 && !v.mute {
				v.tell(id, v.players[id], 0)
			}
		}
		for ; len(v.under) > 0 && time.Now().After(v.under[0].at); v.under = v.under[1:] {
			v.players[v.under[0].id]++
		}
		for logins += float64(rate) / 100; logins >= 1; logins-- {
			svc := v.choosers[rand.IntN(len(v.choosers))].Choose("game", Request{}, anyone)
			v.sent[svc.ID]++
			v.under = append(v.under, arriving{svc.ID, time.Now().Add(v.latency)})
		}
	}
}

func newWorld(t *testing.T, games, logins int) *world {
	v := &world{town: newTown(t, games), players: map[string]int{}, sent: map[string]int{}, latency: 300 * time.Millisecond}
	for i := range logins {
		v.reg.Register(t.Context(), discovery.Service{Name: "login", Index: i, Group: "dev", State: discovery.Ready})
		v.choosers = append(v.choosers, v.chooser())
	}
	return v
}

// With players that really arrive and games that tell once a second, from one
// login or two, all stay even.
func TestLive(t *testing.T) {
	for logins := 1; logins <= 2; logins++ {
		t.Run(fmt.Sprint(logins, " logins"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cold := newWorld(t, 4, logins)
				cold.latency = 5 * time.Millisecond
				cold.run(1000, time.Second)
				cold.even(cold.sent, 1000, 4)
				v := newWorld(t, 4, logins)
				v.run(10, 5*time.Second)
				clear(v.sent)
				v.run(1000, time.Second)
				v.even(v.sent, 1000, 4)
				clear(v.sent)
				v.run(500, 10*time.Second)
				v.even(v.sent, 5000, 4)
			})
		})
	}
}

// A new, empty game beside full ones gets more than its share, but never more
// than twice that, and is not fuller than the others in the end.
func TestNewOneIsNotFlooded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newWorld(t, 3, 2)
		for i := range 3 {
			v.players[id(i)] = 3000
		}
		v.run(100, 4*time.Second)
		v.register(discovery.Service{Name: "game", Index: 3, Group: "dev", State: discovery.Ready})
		for second := range 20 {
			clear(v.sent)
			v.run(1000, time.Second)
			if got := v.sent[id(3)]; got > 550 {
				t.Errorf("second %d: the new one got %d of 1000", second, got)
			}
			if most := v.players[id(0)] * 11 / 10; v.players[id(3)] > most {
				t.Fatalf("second %d: the new one has %d players, an old one %d", second, v.players[id(3)], v.players[id(0)])
			}
		}
		if v.players[id(3)] < v.players[id(0)]*9/10 {
			t.Errorf("after 20 s the new one has %d players, an old one %d", v.players[id(3)], v.players[id(0)])
		}
	})
}

// What is told counts, and what was sent since.
func TestFewestPlayers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, 2)
		w.tell(id(0), 1000, 0)
		w.tell(id(1), 10, 0)
		if got := w.choose(400); got[id(1)] < 250 || got[id(1)] > 350 { // three quarters
			t.Errorf("the emptier one got %d of 400", got[id(1)])
		}
		w.choose(1000)
		time.Sleep(2 * arrival)
		w.tell(id(0), 0, 0) // none of them has stayed there
		w.tell(id(1), 1000, 0)
		if got := w.choose(400); got[id(0)] < 250 {
			t.Errorf("the emptier one got %d of 400", got[id(0)])
		}
	})
}

// A game that has said nothing lately is left out if others have; so is what the
// process before it in the same place has said.
func TestStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, 2)
		w.tell(id(0), 1000, 0)
		w.tell(id(1), 0, fresh+time.Second)
		w.seen(id(0))
		if got := w.choose(10); got[id(0)] != 10 {
			t.Errorf("chose %v", got)
		}
		w.tell(id(1), 0, 0)
		if got := w.choose(100); got[id(1)] < 50 {
			t.Errorf("chose %v", got)
		}
		w.seen(id(0), id(1))
		w.register(discovery.Service{Name: "game", Index: 1, Group: "dev", State: discovery.Ready}) // restarted
		if got := w.choose(10); got[id(0)] != 10 {
			t.Errorf("chose %v", got)
		}
	})
}

// While hub is away what was said last counts for a while, then only what was
// sent; when it is back, the first to tell again does not get everybody.
func TestHubAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newWorld(t, 4, 2)
		v.players[id(0)] = 4000
		v.run(100, 4*time.Second)
		v.mute = true
		v.run(100, fresh+time.Second)
		clear(v.sent)
		v.run(100, 4*time.Second)
		if v.sent[id(0)] > 50 {
			t.Errorf("soon after hub was gone the full one got %d of 400", v.sent[id(0)])
		}
		time.Sleep(unknown)
		v.run(100, 5*time.Second)
		clear(v.sent)
		v.run(100, 10*time.Second)
		v.even(v.sent, 1000, 4)
		for range 30 { // everything is forgotten
			time.Sleep(unknown)
		}
		clear(v.sent)
		for i := range 4 {
			v.players[id(i)] = 500
		}
		v.mute = false
		v.run(1000, time.Second)
		for id, n := range v.sent {
			if n > 400 {
				t.Errorf("when hub came back %s got %d of 1000", id, n)
			}
		}
	})
}

// Who does not want players, is not ready, or is not ours gets none; a rule may
// send clients to another group.
func TestLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, 2)
		w.register(discovery.Service{Name: "game", Index: 2, Group: "dev", State: discovery.Starting})
		w.register(discovery.Service{Name: "game", Index: 3, Group: "dev", State: discovery.Draining})
		w.register(discovery.Service{Name: "game", Index: 0, Group: "blue", State: discovery.Ready})
		w.tell(id(0), 0, 0)
		w.tell(id(1), 500, 0)
		w.says[id(0)].Draining = true
		if got := w.choose(100); got[id(1)] != 100 {
			t.Errorf("chose %v", got)
		}
		w.says[id(1)].Draining = true
		if svc := w.Choose("game", Request{}, anyone); svc != nil {
			t.Errorf("chose %s", svc.ID)
		}
		if svc := w.Choose("game", Request{Group: "blue"}, anyone); svc == nil || svc.ID != "game#0@blue" {
			t.Errorf("chose %v for group blue", svc)
		}
		if svc := w.Choose("game", Request{Group: "green"}, anyone); svc != nil {
			t.Errorf("chose %s for group green", svc.ID)
		}
	})
}

// Those preferred are taken while there are any.
func TestPrefer(t *testing.T) {
	w := newTown(t, 2)
	w.register(discovery.Service{Name: "game", Index: 2, Group: "dev", State: discovery.Ready, Meta: map[string]string{"region": "eu"}})
	w.strategy = Prefer{"region", "eu", Two{}}
	if got := w.choose(100); got[id(2)] != 100 {
		t.Errorf("chose %v", got)
	}
	w.strategy = Prefer{"region", "us", Two{}}
	if got := w.choose(1000); len(got) != 3 {
		t.Errorf("chose %v", got)
	}
}

// Choosing costs no allocation.
func TestAllocations(t *testing.T) {
	w := newTown(t, 8)
	w.choose(1)
	if n := testing.AllocsPerRun(100, func() { w.Choose("game", Request{}, anyone) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
