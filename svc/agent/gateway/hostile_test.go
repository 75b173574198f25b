package gateway_test

import (
	"bytes"
	"encoding/binary"
	"flag"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/agent/route"
	"github.com/davyxu/cellmesh_demo/tool/cluster"
)

var storm = flag.Int("storm", 2000, "connections of the connect-and-close storm")

// wantEOF reads until the agent closes.
func wantEOF(t testing.TB, c net.Conn) []byte {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(patience))
	b, err := io.ReadAll(c)
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		t.Fatalf("the connection did not end within %v", patience)
	}
	return b
}

func write(t testing.TB, c net.Conn, b []byte) {
	t.Helper()
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
}

// What is no frame, or only the beginning of one, ends its connection with the
// right reason, and no other.
func TestBrokenFrames(t *testing.T) {
	r := newRig(t)
	w := r.witness(t)
	ping := onWire(pb.PingACKID, "")
	for _, test := range []struct {
		name   string
		bytes  []byte
		close  bool
		reason string // of agent_closed_total
	}{
		{"size 0", slices.Concat(ping, []byte{0, 0}), false, "short_frame"},
		{"size 1", slices.Concat(ping, []byte{1, 0, 7}), false, "short_frame"},
		{"half a frame, then the end", slices.Concat(ping, []byte{9, 0, 1, 2, 3}), true, "eof_in_frame"},
		{"the end", ping, true, "eof"},
	} {
		t.Run(test.name, func(t *testing.T) {
			name := `agent_closed_total{reason="` + test.reason + `"}`
			before := r.agent.Metric(t, name)
			c := r.raw(t)
			write(t, c, test.bytes)
			if test.close {
				c.CloseWrite()
			}
			wantEOF(t, c)
			c.Close() // the agent waits for that, a while
			wantMetric(t, r.agent, name, before+1)
			w.undisturbed(t)
		})
	}
}

// Who says nothing, half a head, half a frame, or nothing but heartbeats is
// closed when the time to be verified is over.
func TestSilence(t *testing.T) {
	t.Parallel()
	r := newRig(t, "-verifytimeout=2s")
	w := r.witness(t)
	ping := onWire(pb.PingACKID, "")
	var all []net.Conn
	for _, b := range [][]byte{nil, slices.Concat(ping, []byte{9}), slices.Concat(ping, []byte{9, 0, 1, 2, 3}), ping} {
		c := r.raw(t)
		write(t, c, b)
		all = append(all, c)
	}
	for _, c := range all {
		wantEOF(t, c)
		c.Close() // the agent waits for that, a while
	}
	wantMetric(t, r.agent, `client_connections_rejected_total{reason="handshake"}`, 1) // it never became a session
	r.closed(t, "verify_timeout", 3)
	w.undisturbed(t)
}

// WebSocket messages of one byte, in parts, with control frames among them, and
// what no WebSocket client may send.
func TestWebSocketFrames(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	w := r.witness(t)
	open := func(t *testing.T) *websocket.Conn {
		c, _, err := websocket.DefaultDialer.Dial("ws://"+r.addr()+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetReadDeadline(time.Now().Add(patience))
		return c
	}
	masked := func(first byte, payload string) []byte {
		b := append([]byte{first, 0x80 | byte(len(payload)), 0, 0, 0, 0}, payload...)
		return b
	}
	echo := string(onWire(pb.EchoREQID, "\n\x02hi"))[2:]
	t.Run("in parts", func(t *testing.T) {
		c := open(t)
		pong := ""
		c.SetPongHandler(func(s string) error { pong = s; return nil })
		verify := string(onWire(pb.VerifyREQID, encode(t, &pb.VerifyREQ{GameToken: "parts"})))[2:]
		write(t, c.NetConn(), masked(0x82, verify))
		if _, _, err := c.ReadMessage(); err != nil {
			t.Fatal(err)
		}
		write(t, c.NetConn(), masked(0x02, echo[:1]))
		write(t, c.NetConn(), masked(0x89, "are you there"))
		write(t, c.NetConn(), masked(0x00, ""))
		write(t, c.NetConn(), masked(0x00, echo[1:5]))
		write(t, c.NetConn(), masked(0x8a, "nobody asked"))
		write(t, c.NetConn(), masked(0x80, echo[5:]))
		_, got, err := c.ReadMessage()
		if want := string(onWire(pb.EchoACKID, "\n\x02hi"))[2:]; err != nil || string(got) != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
		if pong != "are you there" {
			t.Errorf("pong %q", pong)
		}
	})
	for _, test := range []struct {
		name, bytes, reason string
		code                int
	}{
		{"one byte", string(masked(0x82, "x")), "short_frame", websocket.CloseProtocolError},
		{"no byte", string(masked(0x82, "")), "short_frame", websocket.CloseProtocolError},
		{"text", string(masked(0x81, "hello")), "bad_frame", websocket.CloseUnsupportedData},
		{"not masked", "\x82\x02xx", "bad_frame", websocket.CloseProtocolError},
		{"reserved bits", string(masked(0xf2, "xx")), "bad_frame", websocket.CloseProtocolError},
		{"a control frame in parts", string(masked(0x09, "x")), "bad_frame", websocket.CloseProtocolError},
		{"a part of nothing", string(masked(0x80, "xx")), "bad_frame", websocket.CloseProtocolError},
		{"a message of 2^63 bytes", "\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00", "frame_too_large", websocket.CloseMessageTooBig},
		{"a goodbye", string(masked(0x88, "\x03\xe8")), "eof", websocket.CloseNormalClosure},
	} {
		t.Run(test.name, func(t *testing.T) {
			name := `agent_closed_total{reason="` + test.reason + `"}`
			before := r.agent.Metric(t, name)
			c := open(t)
			write(t, c.NetConn(), []byte(test.bytes))
			if _, _, err := c.ReadMessage(); !websocket.IsCloseError(err, test.code) {
				t.Errorf("%v, want close code %d", err, test.code)
			}
			c.Close() // the agent waits for that, a while
			wantMetric(t, r.agent, name, before+1)
		})
	}
	w.undisturbed(t)
}

// A flood of the smallest frames is answered to the last, whoever floods.
func TestFloodOfTinyFrames(t *testing.T) {
	r := newRig(t)
	w := r.witness(t)
	const floods, frames = 4, 50_000
	var all sync.WaitGroup
	for range floods {
		c := r.raw(t)
		all.Go(func() {
			if _, err := c.Write(bytes.Repeat(onWire(pb.PingACKID, ""), frames)); err != nil {
				t.Errorf("write: %v", err)
			}
		})
		all.Go(func() {
			if n, err := io.CopyN(io.Discard, c, 4*frames); err != nil {
				t.Errorf("%d bytes of answers, %v", n, err)
			}
		})
	}
	all.Wait()
	w.undisturbed(t)
}

// The largest frame goes through, both ways, on TCP and WebSocket; what a
// backend sends that no client can take is not sent, and harms nobody.
func TestLargestFrames(t *testing.T) {
	r := newRig(t)
	w := r.witness(t)
	content := strings.Repeat("x", route.MaxBody-4)
	for _, scheme := range []string{"tcp", "ws"} {
		p := r.enter(t, scheme, scheme, oldClient)
		for range 4 {
			const waiting = 8
			for range waiting {
				p.send(t, &pb.EchoREQ{Content: []byte(content)})
			}
			for range waiting {
				p.want(t, &pb.EchoACK{Content: []byte(content)})
			}
		}
		c := r.game.client(t, scheme)
		for _, err := range []error{c.Send(&pb.ChatACK{Content: content + "x"}), r.game.clients.Broadcast(&pb.ChatACK{Content: content + "x"})} {
			if err == nil || !strings.Contains(err.Error(), "ChatACK of 65534 bytes: a client frame holds at most 65533") {
				t.Errorf("a message that is too large: %v", err)
			}
		}
		p.wantEcho(t, "lives")
	}
	w.undisturbed(t)
}

// A client that never reads is cut, counted, and its backends are told; others
// get all that was sent to them.
func TestNeverReads(t *testing.T) {
	r := newRig(t, "-maxpending=100000")
	w := r.witness(t)
	p := r.enter(t, "tcp", "reader", oldClient)
	deaf := r.raw(t)
	deaf.SetReadBuffer(4096)
	write(t, deaf, onWire(pb.VerifyREQID, encode(t, &pb.VerifyREQ{GameToken: "deaf"})))
	r.game.wantEvent(t, "verified deaf")
	c := r.game.client(t, "deaf")
	content := strings.Repeat("x", 10_000)
	for i := 0; !r.game.happened("closed deaf: cellnet: slow consumer: too many bytes pending"); i++ {
		if i == 100_000 {
			t.Fatal("1 GB was sent to a client that does not read")
		}
		if err := c.Send(&pb.ChatACK{Content: content}); err != nil {
			t.Fatal(err)
		}
		if i%100 == 0 { // and to one that does
			if err := r.game.client(t, "reader").Send(&pb.ChatACK{Content: content}); err != nil {
				t.Fatal(err)
			}
			p.want(t, &pb.ChatACK{Content: content})
		}
	}
	r.closed(t, "slow_consumer", 1)
	wantMetric(t, r.agent, `session_slow_cut_total{kind="client"}`, 1)
	w.undisturbed(t)
}

// Connections that come and go at once, with and without a word, leave nothing.
func TestConnectAndClose(t *testing.T) {
	r := newRig(t)
	w := r.witness(t)
	r.game.wantEvent(t, "verified witness")
	words := [][]byte{nil, onWire(pb.PingACKID, ""), []byte("GET / HTTP/1.1\r\n"), onWire(pb.VerifyREQID, encode(t, &pb.VerifyREQ{GameToken: "storm"})), {0}}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := i; n < *storm; n += 8 {
				c, err := net.DialTimeout("tcp", r.addr(), patience)
				if err != nil {
					t.Error(err)
					return
				}
				c.Write(words[n%len(words)])
				c.(*net.TCPConn).SetLinger(0) // no TIME_WAIT: 100,000 would use up the ports
				c.Close()
			}
		})
	}
	all.Wait()
	wantMetric(t, r.agent, "agent_clients", 1)
	wantMetric(t, r.agent, `sessions{kind="client"}`, 1)
	wantMetric(t, r.game.Process, "backend_clients", 1)
	w.undisturbed(t)
}

// Limits of connections hold in all and by address; one that leaves makes room.
func TestConnectionLimits(t *testing.T) {
	for _, test := range []struct{ flag, reason string }{
		{"-maxconns=3", "too_many_conns"},
		{"-maxperaddr=3", "too_many_from_addr"},
	} {
		t.Run(test.flag, func(t *testing.T) {
			r := newRig(t, test.flag)
			w := r.witness(t)
			last := r.enter(t, "tcp", "second", oldClient)
			r.enter(t, "ws", "third", oldClient)
			if r.answers() {
				t.Error("one connection too many was taken")
			}
			wantMetric(t, r.agent, `client_connections_rejected_total{reason="`+test.reason+`"}`, 1)
			last.session.Close(nil)
			last.wantEnd(t)
			r.closed(t, "eof", 1)
			cluster.Eventually(t, "there is room", r.answers)
			w.undisturbed(t)
		})
	}
}

// answers reports whether the agent takes a connection and answers on it.
func (r *rig) answers() bool {
	c, err := net.DialTimeout("tcp", r.addr(), patience)
	if err != nil {
		return false
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	c.Write(onWire(pb.PingACKID, ""))
	_, err = io.ReadFull(c, make([]byte, 4))
	return err == nil
}

// How long a client may be silent is changed live; who says something stays.
func TestHeartbeat(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	w := r.witness(t)
	silent := r.enter(t, "tcp", "silent", oldClient)
	silent.wantEcho(t, "lives")
	knows := r.enter(t, "ws", "knows", newClient)
	r.Set("config/agent/heartbeat_sec", "1")
	silent.wantEnd(t)
	if len(silent.got) != 0 {
		t.Errorf("the old client was told something: %v", silent.next(t))
	}
	if why := knows.wantReject(t, 0, pb.ResultCode_HeartbeatTimeout); why != "idle for too long" {
		t.Errorf("told %q", why)
	}
	knows.wantEnd(t)
	r.closed(t, "idle", 2)
	r.game.wantEvent(t, "closed silent: cellnet: idle for too long")
	w.undisturbed(t)
}

// A client that has said what it understands is told that it is not verified in
// time, and that what it sends is no frame.
func TestLastWords(t *testing.T) {
	t.Parallel()
	r := newRig(t, "-verifytimeout=2s")
	r.setRules(t, func(rules map[string]*route.Rule) { rules["VerifyREQ"].MaxSize = 64 })
	verify := onWire(pb.VerifyREQID, string(encode(t, &pb.VerifyREQ{GameToken: strings.Repeat("x", 64), Features: newClient})))
	for code, then := range map[pb.ResultCode][]byte{
		pb.ResultCode_VerifyTimeout: nil,
		pb.ResultCode_ProtocolError: {1, 0, 7},
	} {
		c := r.raw(t)
		write(t, c, append(verify, then...))
		got := wantEOF(t, c)
		var last []byte
		for len(got) >= 2 {
			n := 2 + int(binary.LittleEndian.Uint16(got))
			last, got = got[:n], got[n:]
		}
		var told pb.RejectACK
		if len(last) < 4 || binary.LittleEndian.Uint16(last[2:]) != pb.RejectACKID || told.Decode(last[4:]) != nil || told.Code != code || told.MsgId != 0 {
			t.Errorf("%v: the last frame is % x", code, last)
		}
	}
}

// Random numbers as sizes and IDs do not get a frame past its limit: a size is
// checked before room is made.
func TestSizesLie(t *testing.T) {
	r := newRig(t)
	w := r.witness(t)
	for size := uint16(0xfff0); size != 0; size++ {
		c := r.raw(t)
		write(t, c, append(binary.LittleEndian.AppendUint16(nil, size), 1, 2, 3))
		c.CloseWrite()
		wantEOF(t, c)
	}
	r.closed(t, "eof_in_frame", 16)
	w.undisturbed(t)
}
