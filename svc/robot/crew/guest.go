package crew

import (
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/robot/player"
)

// guest is who says nothing but heartbeats: one of -idle, or a robot that comes
// and goes.
type guest struct {
	crew  *Crew
	uid   string
	index int
	stays bool // one of -idle

	farewell pb.ResultCode // why the server is about to close; of the connection's goroutine

	mu      sync.Mutex // guards the rest, of one that stays
	in      bool
	ended   bool // so has the connection that Online is about to give
	returns bool // it is to come back from the end of its last connection
}

// Message hears why the server is about to close.
func (g *guest) Message(id uint16, body []byte) error {
	var m pb.RejectACK
	if id == pb.RejectACKID && proto.Unmarshal(body, &m) == nil && m.MsgId == 0 {
		g.farewell = m.Code
	}
	return nil
}

// Batch has nothing to write.
func (g *guest) Batch() {}

// Online counts one that has its connection.
func (g *guest) Online(player.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ended { // it was short
		g.ended = false
		g.leave()
		return
	}
	g.in = true
	g.crew.guests.Add(1)
}

// Closed counts an end that was not asked for.
func (g *guest) Closed(err error) {
	comesBack := g.crew.run.Ended(g.uid, g.farewell, err)
	g.farewell = 0
	if !g.stays {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.returns, g.ended = comesBack, !g.in
	if g.in {
		g.in = false
		g.crew.guests.Add(-1)
		g.leave()
	}
}

// leave asks for another connection, if there is to be one.
func (g *guest) leave() {
	if g.returns {
		g.crew.run.Lost(g.index)
	}
}
