package crew

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/util/cellnet"
)

// foreign is a server that speaks the client protocol, in one goroutine a client
// and with nothing behind it. It keeps what robots are promised, but for its
// faults (faults_test.go).
type foreign struct {
	addr   string
	faults faults

	mu      sync.Mutex // guards the rest, and what clients have
	clients []*foreignClient
	players map[string]*foreignPlayer
	lineID  uint64
	topics  map[string]string             // by room
	said    map[string][]*pb.LineACK_Line // by room
	waits   map[string][]*pb.LineACK_Line // by uid
	heard   map[string][]uint16           // message IDs but heartbeats', by uid
}

// faults are what a foreign server does wrong, nothing if nil.
type faults struct {
	// frame is given a frame for a client, and its number among those of its
	// message ID for this client, from 1; what it returns is sent instead.
	frame func(c *foreignClient, id uint16, n int, frame []byte) [][]byte
	// change is called after a change of a player, the nth of its kind.
	change func(p *foreignPlayer, before foreignPlayer, id uint16, n int)
	// forgetful makes it do requests again that come again.
	forgetful bool
	// sticky makes it hand over what waits for a player at each login.
	sticky bool
}

type foreignClient struct {
	*cellnet.Session
	srv   *foreign
	uid   string
	rooms map[string]bool
	sent  map[uint16]int
	held  []byte // for faults
}

func startForeign(t *testing.T, f faults) *foreign {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &foreign{addr: l.Addr().String(), faults: f, players: map[string]*foreignPlayer{},
		topics: map[string]string{}, said: map[string][]*pb.LineACK_Line{}, waits: map[string][]*pb.LineACK_Line{}, heard: map[string][]uint16{}}
	a := &cellnet.Acceptor{Config: &cellnet.Config{Framing: cellnet.ClientFraming}, WebSocket: true, Open: srv.open}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); a.Serve(ctx, l) }()
	t.Cleanup(func() { stop(); <-done })
	return srv
}

func (f *foreign) open(s *cellnet.Session) (cellnet.Handler, error) {
	c := &foreignClient{Session: s, srv: f, rooms: map[string]bool{}, sent: map[uint16]int{}}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clients = append(f.clients, c)
	return c, nil
}

// Frame handles a message.
func (c *foreignClient) Frame(b []byte) error {
	c.srv.mu.Lock()
	defer c.srv.mu.Unlock()
	body := bytes.Clone(b[2:])
	if id := cellnet.MessageID(b); id != pb.PingACKID {
		c.srv.heard[c.uid] = append(c.srv.heard[c.uid], id)
	}
	switch id := cellnet.MessageID(b); id {
	case pb.PingACKID:
		return c.Send(b, nil)
	case pb.VerifyREQID:
		var req pb.VerifyREQ
		if err := proto.Unmarshal(body, &req); err != nil {
			return err
		}
		c.uid = req.GameToken
		err := c.SendMessage(pb.VerifyACKID, nil)
		c.handOver()
		return err
	case pb.EchoREQID:
		c.send(pb.EchoACKID, body)
	case pb.ChatREQID:
		for _, to := range c.srv.clients {
			to.send(pb.ChatACKID, body)
		}
	default:
		return c.handle(id, body)
	}
	return nil
}

// reply sends a message.
func (c *foreignClient) reply(m pb.Message) {
	body, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	c.send(m.MsgID(), body)
}

func (c *foreignClient) send(id uint16, body []byte) {
	c.sent[id]++
	frame := append(binary.LittleEndian.AppendUint16(nil, id), body...)
	frames := [][]byte{frame}
	if f := c.srv.faults.frame; f != nil {
		frames = f(c, id, c.sent[id], frame)
	}
	for _, b := range frames {
		c.Send(b, nil) // one that is gone is found out by its reader
	}
}

func (c *foreignClient) Batch() {}

// Closed forgets a client.
func (c *foreignClient) Closed(error) {
	c.srv.mu.Lock()
	defer c.srv.mu.Unlock()
	for i, other := range c.srv.clients {
		if other == c {
			c.srv.clients = append(c.srv.clients[:i], c.srv.clients[i+1:]...)
			break
		}
	}
}
