package desk

import (
	"strings"
	"testing"
	"time"

	"github.com/davyxu/cellmesh_demo/basefx/sanction"
	"github.com/davyxu/cellmesh_demo/proto/pb"
)

// Who is banned does not get in, is told why, and uses up no login; others do.
func TestBanned(t *testing.T) {
	l := launch(t)
	l.granted(l.ask(goldenBytes(t)), "1234")
	ban := sanction.Sanction{Kind: sanction.Ban, UID: "1234", Until: time.Now().Add(time.Hour), Why: "cheating"}
	if err := sanction.Set(t.Context(), l.reg, ban); err != nil {
		t.Fatal(err)
	}
	var ack *pb.LoginACK
	for deadline := time.Now().Add(timeout); ; time.Sleep(time.Millisecond) {
		if ack = l.ask(goldenBytes(t)); ack.Result != pb.ResultCode_NoError && ack.Result != pb.ResultCode_RateLimited {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the ban does not arrive")
		}
	}
	if ack.Result != pb.ResultCode_AccountLocked || !strings.Contains(ack.Reason, "until 20") || !strings.HasSuffix(ack.Reason, "cheating") || ack.GameToken != "" {
		t.Errorf("answered %v", ack)
	}
	l.granted(l.ask(packet(t, &pb.LoginREQ{Platform: "demo", Uid: "alice"})), "alice")
	if _, err := sanction.Lift(t.Context(), l.reg, "1234"); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(timeout); l.ask(goldenBytes(t)).Result != pb.ResultCode_NoError; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the ban stays")
		}
	}
}
