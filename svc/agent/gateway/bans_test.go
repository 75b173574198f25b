package gateway_test

import (
	"strings"
	"testing"
	"time"

	"github.com/davyxu/cellmesh_demo/basefx/sanction"
	"github.com/davyxu/cellmesh_demo/proto/pb"
)

// Who is banned is put out at once and not let in again, before the ban is over
// or lifted; the reason is told to clients that understand. Others do not notice.
func TestBan(t *testing.T) {
	r := newRig(t)
	w := r.witness(t)
	ban := func(uid string, until time.Time) {
		t.Helper()
		if err := sanction.Set(t.Context(), r.Registry, sanction.Sanction{Kind: sanction.Ban, UID: uid, Until: until, Why: "cheating"}); err != nil {
			t.Fatal(err)
		}
	}
	put := func(p *peer) {
		t.Helper()
		if reason := p.wantReject(t, 0, pb.ResultCode_AccountLocked); !strings.HasPrefix(reason, "you are banned") || !strings.HasSuffix(reason, ": cheating") {
			t.Errorf("told %q", reason)
		}
		p.wantEnd(t)
	}
	alice, old := r.enter(t, "tcp", "alice", newClient), r.enter(t, "ws", "old", oldClient)
	ban("alice", time.Now().Add(time.Hour))
	put(alice)
	ban("old", time.Time{})
	old.wantEnd(t)
	if len(old.got) > 0 {
		t.Errorf("the old client got %v", old.next(t))
	}
	again := r.dial(t, "tcp")
	again.send(t, &pb.VerifyREQ{GameToken: "alice", Features: newClient})
	put(again)
	r.closed(t, "banned", 3)
	wantMetric(t, r.agent, "agent_users", 1) // the witness

	// A mute does not put anybody out.
	if err := sanction.Set(t.Context(), r.Registry, sanction.Sanction{Kind: sanction.Mute, UID: "witness"}); err != nil {
		t.Fatal(err)
	}
	wantMetric(t, r.agent, "sanctions", 3)
	ban("old", time.Now().Add(-time.Minute))
	if _, err := sanction.Lift(t.Context(), r.Registry, "alice"); err != nil {
		t.Fatal(err)
	}
	wantMetric(t, r.agent, "sanctions", 2) // and with that the ban before it is known
	r.enter(t, "tcp", "alice", newClient).wantEcho(t, "in again")
	r.enter(t, "tcp", "old", oldClient).wantEcho(t, "in again")
	w.undisturbed(t)
}
