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

// The backlog is bounded in messages and in bytes, and keeps the newest.
func TestBacklogBounds(t *testing.T) {
	var h Hub
	for i := range maxBacklog + 10 {
		h.keep(&pb.HubPublish{MsgId: uint32(i), Body: make([]byte, 10)})
	}
	if len(h.backlog) != maxBacklog || h.backlog[0].MsgId != 10 || h.bytes != 10*maxBacklog || h.dropped.Load() != 10 {
		t.Errorf("%d messages from %d, %d bytes, %d dropped", len(h.backlog), h.backlog[0].MsgId, h.bytes, h.dropped.Load())
	}
	h = Hub{}
	for i := range 20 {
		h.keep(&pb.HubPublish{MsgId: uint32(i), Body: make([]byte, maxBacklogBytes/10)})
	}
	if len(h.backlog) != 10 || h.backlog[9].MsgId != 19 || h.bytes > maxBacklogBytes {
		t.Errorf("%d messages, %d bytes", len(h.backlog), h.bytes)
	}
	h.keep(&pb.HubPublish{MsgId: 20, Body: make([]byte, 2*maxBacklogBytes)})
	if len(h.backlog) != 1 || h.backlog[0].MsgId != 20 {
		t.Errorf("%d messages: one that is larger than all must stand alone", len(h.backlog))
	}
	h.pop()
	if len(h.backlog) != 0 || h.bytes != 0 {
		t.Errorf("%d messages, %d bytes in an empty backlog", len(h.backlog), h.bytes)
	}
}
