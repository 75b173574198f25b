package console

import (
	"io"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/proto/pb"
)

// A line is waited for until it was both taken and heard, in either order; one
// that is stored, or was refused, is not heard.
func TestLineIsDone(t *testing.T) {
	taken := &pb.SayACK{LineId: 7}
	heard := &pb.LineACK{Lines: []*pb.LineACK_Line{{Id: 7, Text: "hello"}}}
	for name, messages := range map[string][]pb.Message{
		"taken, heard": {taken, heard},
		"heard, taken": {heard, taken},
		"stored":       {&pb.SayACK{LineId: 7, Stored: true}},
		"refused":      {&pb.SayACK{Result: pb.ResultCode_Muted}},
	} {
		c := &Console{receivers: map[string]string{}, mine: map[uint64]bool{}, back: make(chan struct{}, 1)}
		c.app = &basefx.App{Stdout: io.Discard, Stderr: io.Discard}
		c.count = 1
		for _, m := range messages {
			if c.count != 1 {
				t.Errorf("%s: done before %T", name, m)
			}
			body, err := proto.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Message(m.MsgID(), body); err != nil {
				t.Fatal(err)
			}
		}
		if c.count != 0 || len(c.mine) != 0 {
			t.Errorf("%s: waits for %d, %v", name, c.count, c.mine)
		}
	}
}

// Private lines that have waited are shown once, though a server that dies may
// hand them over a second time.
func TestMissedOnce(t *testing.T) {
	var out strings.Builder
	c := &Console{}
	c.app = &basefx.App{Stdout: &out, Stderr: io.Discard}
	line := func(id uint64, text string) *pb.LineACK_Line {
		return &pb.LineACK_Line{Id: id, From: "bob", To: "alice", Text: text}
	}
	for _, lines := range [][]*pb.LineACK_Line{
		{line(1, "one"), line(2, "two")},
		{line(1, "one"), line(2, "two")},
		{line(2, "two"), line(3, "three")},
	} {
		body, err := proto.Marshal(&pb.LineACK{Missed: true, Lines: lines})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Message(pb.LineACKID, body); err != nil {
			t.Fatal(err)
		}
	}
	got := regexp.MustCompile(`\d+-\d+-\d+ \d+:\d+`).ReplaceAllString(out.String(), "then")
	if want := "while you were away:\n  then bob -> alice: one\n  then bob -> alice: two\nwhile you were away:\n  then bob -> alice: three\n"; got != want {
		t.Errorf("it shows %q, want %q", got, want)
	}
}
