package player

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/robot/tally"
)

func body(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The end of a connection is explained by the server, or by this side, or it is a
// violation.
func TestClosed(t *testing.T) {
	for _, test := range []struct {
		farewell   bool
		err        error
		code, kind string
	}{
		{true, io.EOF, "closed: Kicked", ""},
		{false, io.EOF, "closed: eof", "close unexplained"},
		{false, errors.New("strange"), "closed: other", "close unexplained"},
		{false, context.Canceled, "", ""},
	} {
		r, tal := newTestRobot(Options{})
		r.Online(&sink{})
		if test.farewell {
			r.Message(pb.RejectACKID, body(t, &pb.RejectACK{Code: pb.ResultCode_Kicked}))
		}
		r.Closed(test.err)
		code := ""
		if errors := tal.Errors(); len(errors) > 0 {
			code = errors[0].Code
		}
		if code != test.code || kinds(tal) != test.kind || r.IsOnline() {
			t.Errorf("%+v: error %q, violations %q", test, code, kinds(tal))
		}
	}
}

// A refused message is an error, told to who wants to hear of it; others are
// sent again by and by.
func TestRefused(t *testing.T) {
	r, tal := newTestRobot(Options{})
	var heard []pb.ResultCode
	r.OnRefused(pb.SayREQID, func(code pb.ResultCode) { heard = append(heard, code) })
	r.Online(&sink{})
	r.Begin()
	for _, id := range []uint16{pb.SayREQID, pb.ChatREQID} {
		r.Message(pb.RejectACKID, body(t, &pb.RejectACK{MsgId: uint32(id), Code: pb.ResultCode_RateLimited}))
	}
	if !slices.Equal(heard, []pb.ResultCode{pb.ResultCode_RateLimited}) {
		t.Errorf("heard %v", heard)
	}
	var codes []string
	for _, e := range tal.Errors() {
		codes = append(codes, e.Code)
	}
	if got := strings.Join(codes, ", "); got != "refused: ChatREQ: RateLimited, refused: SayREQ: RateLimited" {
		t.Errorf("errors: %s", got)
	}
	if r.run.Wheel.count != 1 {
		t.Errorf("%d alarms", r.run.Wheel.count)
	}
	r.Message(pb.RejectACKID, []byte{0xff})
	if kinds(tal) != "wrong" {
		t.Errorf("what does not decode: %s", kinds(tal))
	}
}

// Robots of a run share one of a kind, and what they are told of changes is kept
// only if that is wanted.
func TestRun(t *testing.T) {
	type pool struct{ n int }
	run := NewRun(Options{Robots: 2, UID: "bot", InFlight: 1, Keep: true}, &tally.Tally{})
	made := 0
	a, b := New(run, 0, func(*Robot) {}), New(run, 1, func(*Robot) {})
	for _, r := range []*Robot{a, b} {
		Shared(r, func(*Run) *pool { made++; return &pool{} }).n++
	}
	if p := Shared(a, func(*Run) *pool { return nil }); made != 1 || p.n != 2 || b.UID != "bot1" {
		t.Errorf("made %d, %+v", made, p)
	}
	ended := 0
	run.AtEnd(func() { ended++ })
	run.Settle()
	run.Acknowledged("bot1", Change{RequestID: "x", Revision: 2})
	run.InDoubt("bot1", "y")
	if told := run.Told()["bot1"]; ended != 1 || len(told.Done) != 1 || !told.InDoubt["y"] {
		t.Errorf("ended %d, %+v", ended, told)
	}
	forgets := NewRun(Options{}, &tally.Tally{})
	forgets.Acknowledged("bot1", Change{})
	if forgets.ID == run.ID || len(forgets.Told()) != 0 {
		t.Errorf("%v, %v", forgets.ID, forgets.Told())
	}
}
