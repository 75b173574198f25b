package cellnet

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// wsFrame builds a client's frame by hand; first is its first byte.
func wsFrame(first byte, payload string) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	mask := "\x12\x34\x56\x78"
	b = append(b, mask...)
	for i := range len(payload) {
		b = append(b, payload[i]^mask[i%4])
	}
	return b
}

func join(frames ...[]byte) []byte { return bytes.Join(frames, nil) }

func TestWebSocketFrames(t *testing.T) {
	large := strings.Repeat("x", 60_000)
	for _, c := range []struct {
		name   string
		in     []byte
		frames []string
		want   error
	}{
		{"binary", wsFrame(0x82, "hello"), []string{"hello"}, nil},
		{"several", join(wsFrame(0x82, "one"), wsFrame(0x82, "two"), wsFrame(0x82, large)), []string{"one", "two", large}, nil},
		{"parts", join(wsFrame(0x02, "he"), wsFrame(0x00, "ll"), wsFrame(0x80, "o")), []string{"hello"}, nil},
		{"empty parts", join(wsFrame(0x02, ""), wsFrame(0x00, ""), wsFrame(0x00, "hel"), wsFrame(0x00, ""), wsFrame(0x80, "lo")), []string{"hello"}, nil},
		{"control between parts", join(wsFrame(0x02, "he"), wsFrame(0x89, "ping"), wsFrame(0x8A, "pong"), wsFrame(0x80, "llo")), []string{"hello"}, nil},
		{"one-byte parts", join(wsFrame(0x02, "a"), wsFrame(0x80, "b")), []string{"ab"}, nil},

		{"text", wsFrame(0x81, "hello"), nil, ErrBadFrame},
		{"empty", wsFrame(0x82, ""), nil, ErrShortFrame},
		{"one byte", wsFrame(0x82, "x"), nil, ErrShortFrame},
		{"empty in parts", join(wsFrame(0x02, ""), wsFrame(0x80, "")), nil, ErrShortFrame},
		{"too large", wsFrame(0x82, large+large), nil, ErrFrameTooLarge},
		{"too large announced", []byte{0x82, 0x80 | 127, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0}, nil, ErrFrameTooLarge},
		{"too large in parts", join(wsFrame(0x02, large), wsFrame(0x80, large)), nil, ErrFrameTooLarge},
		{"not masked", appendWS(nil, false, wsBinary, []byte("hello"), nil), nil, ErrBadFrame},
		{"reserved bits", wsFrame(0xC2, "hello"), nil, ErrBadFrame},
		{"unknown opcode", wsFrame(0x83, "hello"), nil, ErrBadFrame},
		{"unknown control", wsFrame(0x8B, ""), nil, ErrBadFrame},
		{"part of nothing", wsFrame(0x80, "hello"), nil, ErrBadFrame},
		{"message in message", join(wsFrame(0x02, "he"), wsFrame(0x82, "llo")), nil, ErrBadFrame},
		{"control in parts", wsFrame(0x09, ""), nil, ErrBadFrame},
		{"large control", wsFrame(0x89, strings.Repeat("x", 126)), nil, ErrBadFrame},

		{"close", wsFrame(0x88, ""), nil, io.EOF},
		{"close normally", wsFrame(0x88, "\x03\xE8bye"), nil, io.EOF},
		{"close with a code", wsFrame(0x88, "\x0F\xA0why"), nil, io.EOF},
		{"close half a code", wsFrame(0x88, "\x03"), nil, ErrBadFrame},
		{"close with a code that is none", wsFrame(0x88, "\x03\xEE"), nil, ErrBadFrame},
		{"close with bad text", wsFrame(0x88, "\x03\xE8\xFF"), nil, ErrBadFrame},
		{"close after frame", join(wsFrame(0x82, "hello"), wsFrame(0x88, ""), wsFrame(0x82, "world")), []string{"hello"}, io.EOF},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, chunk := range []int{len(c.in), 1, 7} {
				ca, cb := net.Pipe()
				s := NewSession(ca, &Config{Linger: 10 * time.Millisecond})
				s.web = &webSocket{}
				r := newRecorder()
				run(t, s, r)
				go io.Copy(io.Discard, cb)
				for b := range chunks(c.in, min(chunk, len(c.in)/100+chunk)) {
					if _, err := cb.Write(b); err != nil {
						break
					}
				}
				if c.want == nil {
					within(t, "frames", func() bool { return r.count() == len(c.frames) })
				} else if err := wait(t, "the end", r.ended); !errors.Is(err, c.want) {
					t.Errorf("reason %v, want %v", err, c.want)
				}
				cb.Close()
				if got := r.got(); len(got) != len(c.frames) {
					t.Errorf("%d frames, want %d", len(got), len(c.frames))
				} else {
					for i := range got {
						if got[i] != c.frames[i] {
							t.Errorf("frame %d: %d bytes, want %d", i, len(got[i]), len(c.frames[i]))
						}
					}
				}
			}
		})
	}
}

// chunks yields b in pieces of n bytes.
func chunks(b []byte, n int) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(b) > 0 {
			n := min(n, len(b))
			if !yield(b[:n]) {
				return
			}
			b = b[n:]
		}
	}
}

// gorillaClient is somebody else's WebSocket client.
func gorillaClient(t *testing.T, addr string) *websocket.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	c, resp, err := websocket.DefaultDialer.DialContext(ctx, "ws://"+addr+"/", map[string][]string{"Origin": {"http://elsewhere.example"}})
	if err != nil {
		t.Fatal(err, resp)
	}
	t.Cleanup(func() { c.Close() })
	c.SetReadDeadline(time.Now().Add(soon))
	return c
}

func TestGorillaClient(t *testing.T) {
	addr := serve(t, &Acceptor{WebSocket: true, Open: func(s *Session) (Handler, error) { return &echo{s: s}, nil }})
	c := gorillaClient(t, addr)
	for _, size := range []int{2, 125, 126, 65535} {
		sent := bytes.Repeat([]byte{byte(size)}, size)
		c.WriteMessage(websocket.BinaryMessage, sent)
		kind, got, err := c.ReadMessage()
		if err != nil || kind != websocket.BinaryMessage || !bytes.Equal(got, sent) {
			t.Fatalf("%d bytes: got %d of kind %d, %v", size, len(got), kind, err)
		}
	}
	pong := ""
	c.SetPongHandler(func(s string) error { pong = s; return nil })
	c.WriteControl(websocket.PingMessage, []byte("are you there"), time.Now().Add(time.Second))
	c.WriteMessage(websocket.BinaryMessage, []byte("after the ping"))
	if _, got, err := c.ReadMessage(); err != nil || string(got) != "after the ping" || pong != "are you there" {
		t.Errorf("got %q, pong %q, %v", got, pong, err)
	}
}

// What the peer is told of our reasons.
func TestWebSocketCloseCodes(t *testing.T) {
	for _, c := range []struct {
		name string
		send func(*websocket.Conn)
		code int
	}{
		{"close", func(c *websocket.Conn) {
			c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, "bye"), time.Now().Add(time.Second))
		}, 1000},
		{"text", func(c *websocket.Conn) { c.WriteMessage(websocket.TextMessage, []byte("hello")) }, 1003},
		{"short", func(c *websocket.Conn) { c.WriteMessage(websocket.BinaryMessage, []byte("x")) }, 1002},
		{"large", func(c *websocket.Conn) { c.WriteMessage(websocket.BinaryMessage, make([]byte, 70_000)) }, 1009},
	} {
		t.Run(c.name, func(t *testing.T) {
			addr := serve(t, &Acceptor{
				WebSocket: true,
				Config:    &Config{Linger: 100 * time.Millisecond},
				Open:      func(s *Session) (Handler, error) { return &echo{s: s}, nil },
			})
			g := gorillaClient(t, addr)
			c.send(g)
			_, _, err := g.ReadMessage()
			if !websocket.IsCloseError(err, c.code) {
				t.Errorf("client sees %v, want code %d", err, c.code)
			}
		})
	}
}

// Our client against somebody else's server bytes: frames that come in the same
// packet as the response to the upgrade are not lost.
func TestFramesBehindTheUpgrade(t *testing.T) {
	addr := serve(t, &Acceptor{
		WebSocket: true,
		Open: func(s *Session) (Handler, error) {
			return &echo{s: s}, s.Send([]byte("welcome"), nil)
		},
	})
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	request := "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	c.Write(append([]byte(request), wsFrame(0x82, "early")...))
	want := "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x82\x07welcome\x82\x05early"
	got := ""
	buf := make([]byte, 1000)
	c.SetReadDeadline(time.Now().Add(soon))
	for !strings.HasSuffix(got, want) {
		n, err := c.Read(buf)
		if err != nil {
			t.Fatalf("%v after %q", err, got)
		}
		got += string(buf[:n])
	}

	s := dial(t, "ws://"+addr+"/", nil)
	r := newRecorder()
	run(t, s, r)
	within(t, "welcome", func() bool { return r.count() == 1 })
}

func TestMaskWS(t *testing.T) {
	mask := [4]byte{1, 2, 3, 4}
	for n := range 40 {
		b := make([]byte, n)
		maskWS(mask, b)
		for i, got := range b {
			if got != mask[i%4] {
				t.Fatalf("%d bytes: byte %d is %d", n, i, got)
			}
		}
	}
}

func TestWSLengths(t *testing.T) {
	for _, n := range []int{0, 125, 126, 65535, 65536, 1 << 20} {
		b := wsFrame(0x82, string(make([]byte, n)))
		h, err := readWSHead(b)
		if err != nil || int(h.payload) != n || h.size+n != len(b) || !h.masked || !h.final {
			t.Errorf("%d bytes: %+v, %v", n, h, err)
		}
	}
}
