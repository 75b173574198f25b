package cluster

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/client/clientapi"
)

// pingPong is a client that sends the next echo when one has come back.
type pingPong struct {
	session interface{ SendMessage(uint16, []byte) error }
	body    []byte
	left    *atomic.Int64
	done    chan struct{}
}

func (p *pingPong) Message(id uint16, body []byte) error {
	if id != pb.EchoACKID {
		return nil
	}
	switch n := p.left.Add(-1); {
	case n == 0:
		close(p.done)
	case n > 0:
		return p.session.SendMessage(pb.EchoREQID, p.body)
	}
	return nil
}

func (p *pingPong) Batch() {}

// BenchmarkEcho is a round trip through agent and game, all in this process
// over real sockets: what allocates, and where time goes (-cpuprofile).
func BenchmarkEcho(b *testing.B) {
	for _, clients := range []int{1, 100} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) { benchmarkEcho(b, clients) })
	}
}

func benchmarkEcho(b *testing.B, clients int) {
	c := Start(b)
	var left atomic.Int64
	done := make(chan struct{})
	body := append([]byte{10, 64}, make([]byte, 64)...)
	var all []*pingPong
	for i := range clients {
		cfg := &clientapi.Config{CommType: "tcp", Platform: "demo", UID: fmt.Sprint("bench", i)}
		grant, err := clientapi.Login(b.Context(), c.Addr("login#0@dev"), cfg)
		if err != nil {
			b.Fatal(err)
		}
		p := &pingPong{body: body, left: &left, done: done}
		conn, err := clientapi.Connect(b.Context(), grant, cfg, p)
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		p.session = conn.Session()
		all = append(all, p)
	}
	left.Store(int64(b.N))
	b.ReportAllocs()
	b.ResetTimer()
	for _, p := range all {
		if err := p.session.SendMessage(pb.EchoREQID, body); err != nil {
			b.Fatal(err)
		}
	}
	<-done
	b.StopTimer()
}
