package hubapi

import (
	"testing"
	"time"

	"github.com/davyxu/cellmesh_demo/proto/pb"
)

// The newest status counts, of the newest process, and not for ever.
func TestStatuses(t *testing.T) {
	var s statuses
	at := time.Unix(1000, 0)
	put := func(epoch uint64, players uint32) {
		s.put("game#0@dev", &pb.ServiceStatus{Epoch: epoch, Players: players}, at)
	}
	has := func(want uint32, known bool) {
		t.Helper()
		got, ok := s.get("game#0@dev", at)
		if ok != known || ok && got.Players != want {
			t.Errorf("%d players, known: %v; want %d, %v", got.GetPlayers(), ok, want, known)
		}
	}
	has(0, false)
	put(7, 10)
	has(10, true)
	put(7, 11)
	has(11, true)
	put(6, 99) // from a process that has been replaced, and does not know yet
	has(11, true)
	put(9, 0)
	has(0, true)
	at = at.Add(forgetAfter - 1)
	s.forget(at)
	has(0, true)
	at = at.Add(1)
	has(0, false)
	put(3, 5) // memsd has lost its data: epochs begin anew
	has(5, true)
	at = at.Add(forgetAfter)
	s.forget(at)
	if len(s.last) != 0 {
		t.Errorf("kept %v", s.last)
	}
}
