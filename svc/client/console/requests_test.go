package console

import (
	"io"
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
