package gateway

import (
	"net"
	"testing"

	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/util/cellnet"
)

// fanOut makes an agent with so many clients that take nothing any more: what is
// left is finding them.
func fanOut(n int) *backend {
	g := &Gateway{}
	g.slots.init(n)
	cfg := &cellnet.Config{}
	for range n {
		conn, _ := net.Pipe()
		c := &client{g: g, session: cellnet.NewSession(conn, cfg)}
		c.session.Abort(net.ErrClosed)
		g.slots.add(c)
		g.kinds.of(3).Add(1)
		c.features.Store(3)
		c.user.Store(&user{features: 3})
		g.groups.join("room", c)
	}
	return &backend{g: g}
}

// BenchmarkFanOut is what it costs to find the clients that a message for many
// is for, per message to 1000.
func BenchmarkFanOut(b *testing.B) {
	be := fanOut(1000)
	room := link.AppendGroup(nil, "room")
	for _, c := range []struct {
		name  string
		frame link.Frame
	}{
		{"all", link.Frame{Kind: link.ToAll}},
		{"all-filtered", link.Frame{Kind: link.ToAll, Client: uint64(link.NewFilter(2, 0))}},
		{"all-left-out", link.Frame{Kind: link.ToAll, Client: uint64(link.NewFilter(0, 2))}},
		{"group", link.Frame{Kind: link.ToGroup, Body: room}},
		{"group-filtered", link.Frame{Kind: link.ToGroup, Body: room, Client: uint64(link.NewFilter(2, 0))}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				be.spread(c.frame)
			}
		})
	}
}
