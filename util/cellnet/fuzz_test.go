package cellnet

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// feed brings stream to a session's reader in chunks, without sockets or
// goroutines, and returns the frames and the reason of the end. chunks says
// how large the pieces are, in turn, and whether the session parks in between.
func feed(stream, chunks []byte, cfg *Config, web bool) (frames []string, reason error) {
	ours, theirs := net.Pipe()
	theirs.Close()
	s := NewSession(&canned{Conn: ours}, cfg)
	if web {
		s.web = &webSocket{}
	}
	r := newRecorder()
	s.begin(r)
	for i := 0; len(stream) > 0 && s.Reason() == nil; i++ {
		n := len(stream)
		if len(chunks) > 0 {
			c := chunks[i%len(chunks)]
			n = min(n, int(c)+1)
			if c%2 == 0 {
				s.park()
			}
		}
		n = copy(s.room(), stream[:n])
		s.received(n, nil)
		stream = stream[n:]
	}
	reason = s.finish(io.EOF)
	return r.frames, reason
}

// sameFrames checks that frames do not depend on how the stream was cut, but
// for how far reading had come when it ended.
func sameFrames(t *testing.T, stream, chunks []byte, cfg *Config, web bool) ([]string, error) {
	t.Helper()
	whole, reason := feed(stream, nil, cfg, web)
	cut, cutReason := feed(stream, chunks, cfg, web)
	if len(whole) != len(cut) || ReasonLabel(reason) != ReasonLabel(cutReason) {
		t.Fatalf("%d frames and %v in one piece, %d frames and %v in chunks", len(whole), reason, len(cut), cutReason)
	}
	for i := range whole {
		if whole[i] != cut[i] {
			t.Fatalf("frame %d is %q in one piece, %q in chunks", i, whole[i], cut[i])
		}
	}
	return whole, reason
}

func FuzzClientFrames(f *testing.F) {
	for _, g := range golden {
		f.Add(unhex(f, g.hex), []byte{0, 3, 1})
	}
	f.Add([]byte("\x00\x00"), []byte{})
	f.Add([]byte("\x02\x00ab\x01\x00"), []byte{2})
	f.Add(append([]byte("\x00\x30ab"), make([]byte, 0x3100)...), []byte{255, 128})
	cfg := &Config{Counters: new(Counters), Linger: time.Millisecond}
	f.Fuzz(func(t *testing.T, stream, chunks []byte) {
		frames, reason := sameFrames(t, stream, chunks, cfg, false)
		var again []byte
		for _, frame := range frames {
			again = append(append(again, byte(len(frame)), byte(len(frame)>>8)), frame...)
		}
		if !bytes.HasPrefix(stream, again) {
			t.Fatal("frames are not what was sent")
		}
		if rest := len(stream) - len(again); reason == io.EOF && rest != 0 || reason == io.ErrUnexpectedEOF && rest == 0 {
			t.Fatalf("%d bytes are left, reason %v", rest, reason)
		}
	})
}

func FuzzLinkFrames(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x00\x02\x00\x00\x00ab"), []byte{0, 3, 1})
	f.Add([]byte("\xff\xff\xff\xff"), []byte{})
	f.Add(append([]byte("\x00\x20\x01\x00"), make([]byte, 0x12100)...), []byte{255, 128})
	cfg := &Config{Framing: LinkFraming, MaxFrame: 1 << 20, Linger: time.Millisecond}
	f.Fuzz(func(t *testing.T, stream, chunks []byte) {
		frames, reason := sameFrames(t, stream, chunks, cfg, false)
		var again []byte
		for _, frame := range frames {
			n := len(frame)
			again = append(append(again, byte(n), byte(n>>8), byte(n>>16), byte(n>>24)), frame...)
		}
		if !bytes.HasPrefix(stream, again) {
			t.Fatal("frames are not what was sent")
		}
		if rest := len(stream) - len(again); reason == io.EOF && rest != 0 || reason == io.ErrUnexpectedEOF && rest == 0 {
			t.Fatalf("%d bytes are left, reason %v", rest, reason)
		}
	})
}

// FuzzWebSocket compares our reader with gorilla/websocket's: what it takes as
// binary messages of a good size, we hand over; where it objects, so do we.
func FuzzWebSocket(f *testing.F) {
	for _, stream := range [][]byte{
		wsFrame(0x82, "hello"),
		join(wsFrame(0x02, "he"), wsFrame(0x89, "ping"), wsFrame(0x80, "llo"), wsFrame(0x82, "world")),
		join(wsFrame(0x82, "hello"), wsFrame(0x88, "\x03\xE8bye")),
		wsFrame(0x81, "text"),
		wsFrame(0x82, ""),
		{0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0, 2, 1, 2, 3, 4, 'a', 'b'},
		appendWS(nil, false, wsBinary, []byte("not masked"), nil),
	} {
		f.Add(stream, []byte{0, 3, 1})
	}
	cfg := &Config{Linger: time.Millisecond}
	f.Fuzz(func(t *testing.T, stream, chunks []byte) {
		frames, reason := sameFrames(t, stream, chunks, cfg, true)
		want, objects := gorillaReads(stream)
		if len(frames) != len(want) {
			t.Fatalf("%d frames, gorilla has %d; our reason %v, gorilla's %v", len(frames), len(want), reason, objects)
		}
		for i := range want {
			if frames[i] != want[i] {
				t.Fatalf("frame %d is %q, gorilla has %q", i, frames[i], want[i])
			}
		}
		switch gone := new(websocket.CloseError); {
		case !errors.As(objects, &gone):
			if reason == io.EOF {
				t.Fatalf("the peer just left, but gorilla says %v", objects)
			}
		case gone.Code == websocket.CloseAbnormalClosure: // no close frame came
			if reason != io.EOF && reason != io.ErrUnexpectedEOF {
				t.Fatalf("our reason %v, gorilla just misses the rest", reason)
			}
		case gone.Code == websocket.CloseNoStatusReceived && errors.Is(reason, ErrBadFrame):
			// One byte where a code should be: we are stricter.
		case gone.Code == 1014 && errors.Is(reason, ErrBadFrame):
			// Its text was bad, which gorilla did not come to.
		case !errors.Is(reason, io.EOF):
			t.Fatalf("our reason %v, gorilla says %v", reason, objects)
		}
	})
}

// gorillaReads returns the messages that gorilla/websocket, as a server, finds
// in stream, up to the first that cellnet would not take, and why it ended.
func gorillaReads(stream []byte) (messages []string, objects error) {
	ours, theirs := net.Pipe()
	theirs.Close()
	conn := &canned{Conn: ours, in: bytes.NewReader(stream)}
	request := httptest.NewRequest("GET", "/", nil)
	for k, v := range map[string]string{"Connection": "upgrade", "Upgrade": "websocket", "Sec-Websocket-Version": "13", "Sec-Websocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="} {
		request.Header.Set(k, v)
	}
	w := &hijacker{conn: conn, brw: bufio.NewReadWriter(bufio.NewReader(conn), bufio.NewWriter(conn))}
	gorilla, err := new(websocket.Upgrader).Upgrade(w, request, nil)
	if err != nil {
		return nil, err
	}
	gorilla.SetReadLimit(maxClientFrame)
	for {
		kind, r, err := gorilla.NextReader()
		if err == nil && kind != websocket.BinaryMessage {
			return messages, errWSText
		}
		var b []byte
		if err == nil {
			b, err = io.ReadAll(r)
		}
		switch {
		case err != nil && strings.Contains(err.Error(), "bad close code 1014"): // registered since
			return messages, &websocket.CloseError{Code: 1014}
		case err != nil:
			return messages, err
		case len(b) < 2:
			return messages, ErrShortFrame
		}
		messages = append(messages, string(b))
	}
}

// canned is a connection that brings what it was given and takes everything.
type canned struct {
	net.Conn
	in io.Reader
}

func (c *canned) Read(p []byte) (int, error)       { return c.in.Read(p) }
func (c *canned) Write(p []byte) (int, error)      { return len(p), nil }
func (c *canned) SetDeadline(time.Time) error      { return nil }
func (c *canned) SetReadDeadline(time.Time) error  { return nil }
func (c *canned) SetWriteDeadline(time.Time) error { return nil }
