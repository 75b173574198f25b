package crew

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"sync"
	"testing"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/util/cellnet"
)

// foreign is a server that speaks the client protocol and nothing else: it
// takes any token and answers EchoREQ and ChatREQ by itself. fault may spoil
// what it answers.
type foreign struct {
	addr string
	// fault is given the number of a request on its connection, from 1, and the
	// reply; what it returns is sent.
	fault func(c *foreignClient, n int, reply []byte) [][]byte

	mu      sync.Mutex
	clients []*foreignClient
}

type foreignClient struct {
	*cellnet.Session
	srv  *foreign
	held []byte // for fault
	n    int
}

func startForeign(t *testing.T, fault func(c *foreignClient, n int, reply []byte) [][]byte) *foreign {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &foreign{addr: l.Addr().String(), fault: fault}
	a := &cellnet.Acceptor{Config: &cellnet.Config{Framing: cellnet.ClientFraming}, WebSocket: true, Open: f.open}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); a.Serve(ctx, l) }()
	t.Cleanup(func() { stop(); <-done })
	return f
}

func (f *foreign) open(s *cellnet.Session) (cellnet.Handler, error) {
	c := &foreignClient{Session: s, srv: f}
	f.mu.Lock()
	f.clients = append(f.clients, c)
	f.mu.Unlock()
	return c, nil
}

func (c *foreignClient) Frame(b []byte) error {
	reply := bytes.Clone(b)
	switch cellnet.MessageID(b) {
	case pb.VerifyREQID:
		return c.SendMessage(pb.VerifyACKID, nil)
	case pb.PingACKID:
		return c.Send(b, nil)
	case pb.EchoREQID:
		binary.LittleEndian.PutUint16(reply, pb.EchoACKID)
		c.n++
		for _, r := range c.srv.fault(c, c.n, reply) {
			if err := c.Send(r, nil); err != nil {
				return err
			}
		}
	case pb.ChatREQID:
		binary.LittleEndian.PutUint16(reply, pb.ChatACKID)
		c.srv.mu.Lock()
		defer c.srv.mu.Unlock()
		for _, to := range c.srv.clients {
			to.n++
			for _, r := range c.srv.fault(to, to.n, reply) {
				to.Send(r, nil)
			}
		}
	}
	return nil
}

func (c *foreignClient) Batch()       {}
func (c *foreignClient) Closed(error) {}

// honest spoils nothing.
func honest(_ *foreignClient, _ int, reply []byte) [][]byte { return [][]byte{reply} }

func drop(_ *foreignClient, n int, reply []byte) [][]byte {
	if n == 7 {
		return nil
	}
	return [][]byte{reply}
}

func double(_ *foreignClient, n int, reply []byte) [][]byte {
	if n == 7 {
		return [][]byte{reply, reply}
	}
	return [][]byte{reply}
}

func swap(c *foreignClient, n int, reply []byte) [][]byte {
	switch n {
	case 7:
		c.held = reply
		return nil
	case 8:
		return [][]byte{reply, c.held}
	}
	return [][]byte{reply}
}

func corrupt(_ *foreignClient, n int, reply []byte) [][]byte {
	if n == 7 {
		reply = bytes.Clone(reply)
		reply[len(reply)-1] ^= 0x20
	}
	return [][]byte{reply}
}

func garble(_ *foreignClient, n int, reply []byte) [][]byte {
	if n == 7 {
		return [][]byte{append(bytes.Clone(reply[:2]), 0xff, 0xff)}
	}
	return [][]byte{reply}
}

// misroute gives one robot's reply to another.
func misroute(c *foreignClient, n int, reply []byte) [][]byte {
	if n != 7 {
		return [][]byte{reply}
	}
	c.srv.mu.Lock()
	defer c.srv.mu.Unlock()
	for _, other := range c.srv.clients {
		if other != c {
			other.Send(reply, nil)
			break
		}
	}
	return nil
}
