package gateway_test

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/davyxu/cellmesh_demo/proto/pb"
)

// FuzzFrontend is one client that says anything, in any pieces, on TCP or
// WebSocket, and goes: the agent must not panic, keep nothing, and a witness
// must not notice. The first byte chooses how; the rest is what is said.
func FuzzFrontend(f *testing.F) {
	join := func(how byte, frames ...[]byte) []byte {
		all := []byte{how}
		for _, b := range frames {
			all = append(all, b...)
		}
		return all
	}
	verify := onWire(pb.VerifyREQID, encode(f, &pb.VerifyREQ{GameToken: "fuzz", GameSvcId: "game#0@dev", Features: newClient}))
	named := onWire(pb.VerifyREQID, encode(f, &pb.VerifyREQ{GameToken: "fuzz", GameSvcId: "game#9@dev", Features: newClient}))
	echo, chat, ping := onWire(pb.EchoREQID, "\n\x02hi"), onWire(pb.ChatREQID, "\n\x02hi"), onWire(pb.PingACKID, "")
	for how := range byte(16) {
		f.Add(join(how, verify, echo, chat, ping))
	}
	f.Add(join(0, ping, echo, named, verify, echo))
	f.Add(join(1, verify, onWire(pb.BindBackendACKID, "\n\x04root"), onWire(pb.ClientKickID, "")))
	f.Add(join(2, verify, onWire(pb.EchoREQID, "not protobuf"), onWire(pb.VerifyREQID, "\x53\x53\x53"), onWire(65535, "")))
	f.Add(join(3, ping, []byte{0, 0}))
	f.Add(join(4, ping, []byte{1, 0, 0}))
	f.Add(join(5, []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")))
	f.Add(join(6, []byte("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00")))
	f.Add(join(8|4, []byte{0x82, 0x81, 0, 0, 0, 0, 'x', 0x88, 0x80, 0, 0, 0, 0}))
	f.Add(join(8|5, []byte{0x02, 0x82, 0, 0, 0, 0, 'x', 'y', 0x89, 0x80, 0, 0, 0, 0, 0x80, 0x80, 0, 0, 0, 0}))

	r := newRig(f, "-hold=0s", "-maxviolations=20", "-loglevel=error")
	addr := r.addr()
	w := r.witness(f)
	f.Cleanup(func() { wantMetric(f, r.agent, "agent_clients", 1) })
	f.Fuzz(func(t *testing.T, said []byte) {
		if len(said) == 0 {
			return
		}
		random := rand.New(rand.NewPCG(uint64(len(said)), uint64(said[0])))
		say(t, addr, said[0], cut(random, said[0], said[1:]))
		w.undisturbed(t)
	})
}

// Frames at random: of messages that there are and that there are not, with
// bodies that are good and that are not.
func TestRandomFrames(t *testing.T) {
	r := newRig(t, "-hold=0s", "-maxviolations=20", "-loglevel=error")
	w := r.witness(t)
	known := pb.Messages()
	for i := range uint64(50) {
		random := rand.New(rand.NewPCG(i, 1))
		how := byte(random.IntN(16))
		frames := [][]byte{onWire(pb.VerifyREQID, encode(t, &pb.VerifyREQ{GameToken: "random", Features: random.Uint32()}))}
		if random.IntN(4) == 0 {
			frames = nil
		}
		for range random.IntN(60) {
			id, body := uint16(random.Uint32()), make([]byte, random.IntN(1<<random.IntN(14)))
			if random.IntN(8) > 0 {
				id = known[random.IntN(len(known))].ID
			}
			for i := range body {
				body[i] = byte(random.Uint32())
			}
			frames = append(frames, onWire(id, string(body)))
		}
		if how&8 == 0 {
			frames = cut(random, how, slices.Concat(frames...))
		} else if how&4 == 0 {
			for i := range frames {
				frames[i] = frames[i][2:] // a WebSocket message has no size before it
			}
		}
		say(t, r.addr(), how, frames)
		w.undisturbed(t)
	}
	wantMetric(t, r.agent, "agent_clients", 1)
	wantMetric(t, r.game.Process, "backend_clients", 1)
}

// cut cuts b into pieces; bit 0 of how makes them small.
func cut(random *rand.Rand, how byte, b []byte) (pieces [][]byte) {
	most := len(b)
	if how&1 != 0 {
		most = 7
	}
	for len(b) > 0 {
		n := min(len(b), 1+random.IntN(most))
		pieces = append(pieces, b[:n])
		b = b[n:]
	}
	return pieces
}

// say is a client that says pieces and goes. Of how, bit 3 is WebSocket, bit 2
// then writes to the connection below its frames; bit 1 leaves without waiting
// for the agent's last words.
func say(t *testing.T, addr string, how byte, pieces [][]byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var c net.Conn
	var send func([]byte) error
	if how&8 == 0 {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		c = conn
		send = func(b []byte) error { _, err := c.Write(b); return err }
	} else {
		web, _, err := websocket.DefaultDialer.DialContext(ctx, "ws://"+addr+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		c = web.NetConn()
		send = func(b []byte) error { return web.WriteMessage(websocket.BinaryMessage, b) }
		if how&4 != 0 {
			send = func(b []byte) error { _, err := c.Write(b); return err }
		}
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	for _, b := range pieces {
		if send(b) != nil {
			break // closed on us: that is an answer
		}
	}
	if how&2 != 0 {
		return
	}
	c.(*net.TCPConn).CloseWrite()
	if _, err := io.Copy(io.Discard, c); err != nil {
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			t.Fatal("the agent does not end the connection")
		}
	}
}
