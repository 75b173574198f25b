package chat

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/agent/agentapi"
	"github.com/davyxu/cellmesh_demo/svc/social/store"
)

// Whom to look after, and when, told by a script of times.
func TestInboxLooks(t *testing.T) {
	noon := time.UnixMilli(1_800_000_000_000)
	at := func(s float64) time.Time { return noon.Add(time.Duration(s * float64(time.Second))) }
	var b inbox
	b.init()
	due := func(now float64, want string, next float64) {
		t.Helper()
		uids, n := b.due(at(now))
		slices.Sort(uids)
		wantNext := time.Time{}
		if next >= 0 {
			wantNext = at(next)
		}
		if got := strings.Join(uids, " "); got != want || !n.Equal(wantNext) {
			t.Errorf("at %v: %q, next %v, want %q", now, got, n, want)
		}
	}
	due(0, "", -1)
	b.look("alice", at(0), 0)
	b.look("bob", at(1), 2*time.Second)
	due(0, "alice", 1)
	due(0, "", 1) // alice is looked after
	b.done("alice", at(0), time.Time{})
	if b.pending("alice") || !b.pending("bob") {
		t.Error("alice is done, bob is not")
	}
	due(1, "bob", -1)
	b.done("bob", at(1), time.Time{})
	due(1.4, "", 1.5)
	due(1.5, "bob", -1)
	b.look("bob", at(1.6), 0) // meanwhile
	b.done("bob", at(1.7), at(9))
	due(1.7, "bob", -1)
	b.done("bob", at(2.6), time.Time{}) // 2 s are over in 0.4 s
	due(9, "", -1)
	for i := range maxLooks + 3 {
		b.look(fmt.Sprint(i), noon, 0)
	}
	if len(b.looks) != maxLooks || b.dropped.Load() != 3 {
		t.Errorf("%d, %d dropped", len(b.looks), b.dropped.Load())
	}
}

// Lines that have waited come in messages that fit, and to old clients in words
// they know.
func TestMissed(t *testing.T) {
	var all []store.Line
	for i := range 100 {
		all = append(all, store.Line{ID: uint64(i + 1), From: "alice", Name: "Alice", Text: strings.Repeat("世", 500)})
	}
	user := agentapi.User{UID: "bob", Features: lines}
	got := 0
	for rest := all; len(rest) > 0; {
		m, n := missed(user, rest)
		ack := m.(*pb.LineACK)
		if n == 0 || len(ack.Lines) != n || !ack.Missed || proto.Size(ack) > agentapi.MaxBody || ack.Lines[0].Id != rest[0].ID || ack.Lines[0].To != "bob" {
			t.Fatalf("%d lines, %d bytes", n, proto.Size(ack))
		}
		got += n
		rest = rest[n:]
	}
	if got != len(all) {
		t.Errorf("%d lines", got)
	}
	m, n := missed(agentapi.User{UID: "bob"}, all)
	if chat, is := m.(*pb.ChatACK); !is || n != 1 || chat.Content != "Alice (private): "+all[0].Text {
		t.Errorf("%d %v", n, m)
	}
	if shown := fit(all); len(shown) == 0 || shown[len(shown)-1].Id != 100 || proto.Size(&pb.JoinACK{History: shown}) > agentapi.MaxBody {
		t.Errorf("%d lines of history", len(shown))
	}
}
