package scenario

import (
	"time"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/robot/player"
)

// greet says hello to the world, and again when it has heard itself.
func greet(r *player.Robot) {
	hello, heard, since := "hello from "+r.UID, r.Op("greet"), time.Duration(0)
	r.Pace(func(due time.Duration) {
		since = due
		r.Send(&pb.ChatREQ{Content: hello})
	})
	player.Hear(r, func(m *pb.ChatACK) {
		if m.Content == hello {
			r.Record(heard, since)
			r.Again()
		}
	})
}
