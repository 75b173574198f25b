package world

import (
	"context"
	"flag"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/util/msgmux"
)

// NewBuggy is a game whose handler of EchoREQ panics over "bug", and over
// "later" has something panic that is done in the player's turn.
func NewBuggy(fs *flag.FlagSet) basefx.Service {
	w := New(fs).(*World)
	w.play = msgmux.New[*Player]()
	msgmux.Handle(w.play, func(_ context.Context, p *Player, req *pb.EchoREQ) (*pb.EchoACK, error) {
		switch string(req.Content) {
		case "bug":
			panic("a bug")
		case "later":
			return nil, p.Do(func(context.Context) { panic("a later bug") })
		}
		return &pb.EchoACK{Content: req.Content}, nil
	})
	return w
}
