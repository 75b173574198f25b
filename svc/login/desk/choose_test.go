package desk

import (
	"testing"
	"time"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/hub/hubapi"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// town is a chooser with what it chooses from.
type town struct {
	*chooser
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
	w.chooser = newChooser(w.reg, func(s *discovery.Service) bool { return s.Group == "dev" },
		func(svcid string) (hubapi.Status, bool) { s, ok := w.says[svcid]; return s, ok })
	return w
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

// choose chooses n games and counts.
func (w *town) choose(n int) map[string]int {
	w.t.Helper()
	got := map[string]int{}
	for range n {
		svcid, code := w.game()
		if code != pb.ResultCode_NoError {
			w.t.Fatal(code)
		}
		got[svcid]++
	}
	return got
}

func (w *town) want(got map[string]int, want map[string]int) {
	w.t.Helper()
	for _, svcid := range []string{"game#0@dev", "game#1@dev", "game#2@dev", "game#3@dev"} {
		if got[svcid] != want[svcid] {
			w.t.Errorf("%s was chosen %d times, want %d", svcid, got[svcid], want[svcid])
		}
	}
}

// 1,000 logins spread evenly, whether anything is known of the games or not.
func TestSpread(t *testing.T) {
	even := map[string]int{"game#0@dev": 250, "game#1@dev": 250, "game#2@dev": 250, "game#3@dev": 250}
	w := newTown(t, 4)
	w.want(w.choose(1000), even)
	for svcid := range w.leases {
		w.tell(svcid, 42, 0)
	}
	w.want(w.choose(1000), even)
}

// What a game says counts, and what was sent there since it said so.
func TestFewestPlayers(t *testing.T) {
	w := newTown(t, 3)
	w.tell("game#0@dev", 100, 0)
	w.tell("game#1@dev", 10, 0)
	w.tell("game#2@dev", 70, 0)
	w.want(w.choose(60), map[string]int{"game#1@dev": 60})
	w.want(w.choose(60), map[string]int{"game#1@dev": 30, "game#2@dev": 30})
	w.tell("game#1@dev", 0, 0) // they have not stayed
	w.want(w.choose(50), map[string]int{"game#1@dev": 50})
}

// A game that has said nothing lately is left to others that have, if there are
// any; so is what the process before it in the same place has said.
func TestStale(t *testing.T) {
	w := newTown(t, 2)
	w.tell("game#0@dev", 1000, 0)
	w.tell("game#1@dev", 0, fresh+time.Second)
	w.want(w.choose(10), map[string]int{"game#0@dev": 10})
	w.tell("game#1@dev", 0, 0)
	w.want(w.choose(10), map[string]int{"game#1@dev": 10})
	w.register(discovery.Service{Name: "game", Index: 1, Group: "dev", State: discovery.Ready}) // restarted
	w.want(w.choose(10), map[string]int{"game#0@dev": 10})
	delete(w.says, "game#0@dev") // hub is away: nothing is known of any
	delete(w.says, "game#1@dev")
	if got := w.choose(100); len(got) != 2 {
		t.Errorf("chose %v", got)
	}
}

// Who does not want players, is not ready, or is not ours gets none.
func TestLeftOut(t *testing.T) {
	w := newTown(t, 2)
	w.register(discovery.Service{Name: "game", Index: 2, Group: "dev", State: discovery.Starting})
	w.register(discovery.Service{Name: "game", Index: 3, Group: "dev", State: discovery.Draining})
	w.register(discovery.Service{Name: "game", Index: 0, Group: "blue", State: discovery.Ready})
	w.tell("game#0@dev", 0, 0)
	w.tell("game#1@dev", 500, 0)
	w.says["game#0@dev"].Draining = true
	w.want(w.choose(100), map[string]int{"game#1@dev": 100})
	w.says["game#1@dev"].Draining = true
	if svcid, code := w.game(); code != pb.ResultCode_GameNotFound {
		t.Errorf("chose %q, %v", svcid, code)
	}
}

// An agent is chosen only if it has an address for clients.
func TestAgentNeedsAddress(t *testing.T) {
	w := newTown(t, 0)
	if _, _, code := w.agent(); code != pb.ResultCode_AgentNotFound {
		t.Error(code)
	}
	w.register(discovery.Service{Name: "agent", Index: 0, Group: "dev", State: discovery.Ready})
	if _, _, code := w.agent(); code != pb.ResultCode_AgentNotFound {
		t.Error(code)
	}
	w.register(discovery.Service{Name: "agent", Index: 1, Group: "dev", State: discovery.Ready, Meta: map[string]string{discovery.MetaWAN: "127.0.0.1:8001"}})
	if svcid, wan, code := w.agent(); svcid != "agent#1@dev" || wan != "127.0.0.1:8001" || code != pb.ResultCode_NoError {
		t.Errorf("%q %q %v", svcid, wan, code)
	}
	if _, code := w.game(); code != pb.ResultCode_GameNotFound {
		t.Error(code)
	}
}
