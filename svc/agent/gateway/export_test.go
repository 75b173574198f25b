package gateway

import (
	"fmt"
	"net"
	"time"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/util/cellnet"
)

// Populate gives an agent n verified clients without sockets, bound to its game:
// more than a process may have files. What is sent to them goes nowhere. Each is
// a member of these groups.
func Populate(agent basefx.Service, n int, groups ...string) {
	g := agent.(*Gateway)
	game := g.links.Named("game")[0]
	for i := range n {
		c := &client{g: g, session: cellnet.NewSession(nowhere{}, &g.session)}
		if !g.slots.add(c) {
			panic("full")
		}
		c.mu.Lock()
		c.replace("game", game)
		c.groups = map[string]struct{}{}
		for _, name := range groups {
			c.groups[name] = struct{}{}
			g.groups.join(name, c)
		}
		c.mu.Unlock()
		if err := g.bindBackend(game, c.id, &pb.BindBackendACK{Uid: fmt.Sprintf("crowd%05d", i), Name: fmt.Sprintf("Crowd %05d", i), Epoch: 1}); err != nil {
			panic(err)
		}
	}
}

// Depopulate has all clients leave.
func Depopulate(agent basefx.Service) {
	agent.(*Gateway).slots.each(func(c *client) {
		if _, is := c.session.RemoteAddr().(*net.TCPAddr); !is {
			c.Closed(net.ErrClosed)
		}
	})
}

// nowhere is a connection that takes everything and brings nothing.
type nowhere struct{ net.Conn }

func (nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (nowhere) RemoteAddr() net.Addr        { return &net.UnixAddr{Name: "nowhere", Net: "unix"} }
func (nowhere) Close() error                { return nil }

func (nowhere) SetDeadline(time.Time) error      { return nil }
func (nowhere) SetReadDeadline(time.Time) error  { return nil }
func (nowhere) SetWriteDeadline(time.Time) error { return nil }
