package player_test

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/robot/player"
	"github.com/davyxu/cellmesh_demo/svc/robot/tally"
	"github.com/davyxu/cellmesh_demo/util/cellnet"
)

// greet is a whole scenario.
func greet(r *player.Robot) {
	greeting, heard, since := "hello from "+r.UID, r.Op("greet"), time.Duration(0)
	r.Pace(func(due time.Duration) {
		since = due
		r.Send(&pb.ChatREQ{Content: greeting})
	})
	player.Hear(r, func(m *pb.ChatACK) {
		if m.Content == greeting {
			r.Record(heard, since)
			r.Again()
		}
	})
}

// printer is a connection that shows what it is given.
type printer struct{}

func (printer) Append(head, body []byte) (first bool, err error) {
	frame := append(head, body...)
	fmt.Printf("%s %q\n", pb.MessageName(cellnet.MessageID(frame)), cellnet.Body(frame))
	return true, nil
}

func (printer) Flush() {}

func Example() {
	var counts tally.Tally
	run := player.NewRun(player.Options{Robots: 1, UID: "robot", InFlight: 1}, &counts)
	r := player.New(run, 0, greet)
	r.Online(printer{})
	r.Begin()

	for _, line := range []string{"hello from robot9", "hello from robot0"} {
		body, err := proto.Marshal(&pb.ChatACK{Content: line})
		if err != nil {
			fmt.Println(err)
		}
		r.Message(pb.ChatACKID, body)
	}
	r.Batch()

	done := tally.NewHistogram()
	counts.Op("greet").Take(done)
	fmt.Println(done.TotalCount(), "heard")
	// Output:
	// ChatREQ "\n\x11hello from robot0"
	// ChatREQ "\n\x11hello from robot0"
	// 1 heard
}
