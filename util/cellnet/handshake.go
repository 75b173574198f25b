package cellnet

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/gorilla/websocket"
)

// maxHTTPHead bounds a WebSocket upgrade request or its response, in bytes.
const maxHTTPHead = 8 << 10

// fill waits for more bytes during a handshake. It asks for little, since
// nothing is known of the peer yet.
func (s *Session) fill() error {
	if cap(s.in) == len(s.in) {
		s.moveTo(max(1<<10, 2*cap(s.in)))
	}
	n, err := s.conn.Read(s.in[len(s.in):cap(s.in)])
	s.in = s.in[:len(s.in)+n]
	if n > 0 {
		return nil
	}
	return err
}

// httpHead is a session's connection while gorilla/websocket shakes hands on
// it. It lets one HTTP head through and not a byte more: what follows are
// frames, and they stay in the session's buffer.
type httpHead struct {
	net.Conn
	s    *Session
	left int  // bytes of the head not let through yet
	seen bool // left is known
}

func (h *httpHead) Read(p []byte) (int, error) {
	s := h.s
	for !h.seen {
		if end := bytes.Index(s.in, []byte("\r\n\r\n")); end >= 0 {
			h.left, h.seen = end+4, true
		} else if len(s.in) > maxHTTPHead {
			return 0, fmt.Errorf("HTTP head is larger than %d bytes", maxHTTPHead)
		} else if err := s.fill(); err != nil {
			return 0, err
		}
	}
	if h.left == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.in[:h.left])
	h.left -= n
	s.in = s.in[:copy(s.in, s.in[n:])]
	return n, nil
}

// The deadlines are ours, not gorilla's.
func (h *httpHead) SetDeadline(time.Time) error      { return nil }
func (h *httpHead) SetReadDeadline(time.Time) error  { return nil }
func (h *httpHead) SetWriteDeadline(time.Time) error { return nil }

// upgrade answers the WebSocket upgrade request that the connection begins with.
func (s *Session) upgrade() error {
	head := &httpHead{Conn: s.conn, s: s}
	brw := bufio.NewReadWriter(bufio.NewReader(head), bufio.NewWriter(head))
	req, err := http.ReadRequest(brw.Reader)
	if err != nil {
		return fmt.Errorf("%w: HTTP request: %w", ErrHandshake, err)
	}
	w := &hijacker{conn: head, brw: brw, header: http.Header{}}
	if req.URL.Path != "/" {
		http.Error(w, "the WebSocket is at /", http.StatusNotFound)
		return fmt.Errorf("%w: HTTP request for %q instead of /", ErrHandshake, req.URL.Path)
	}
	up := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	if _, err := up.Upgrade(w, req, nil); err != nil {
		return fmt.Errorf("%w: %w", ErrHandshake, err)
	}
	s.web = &webSocket{}
	return nil
}

// hijacker is the little of an HTTP server that an Upgrader needs: it gives
// away the connection, or writes one short refusal.
type hijacker struct {
	conn   net.Conn
	brw    *bufio.ReadWriter
	header http.Header
}

func (w *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) { return w.conn, w.brw, nil }
func (w *hijacker) Header() http.Header                          { return w.header }
func (w *hijacker) Write(b []byte) (int, error)                  { return w.conn.Write(b) }

func (w *hijacker) WriteHeader(code int) {
	w.header.Set("Connection", "close")
	fmt.Fprintf(w.conn, "HTTP/1.1 %d %s\r\n", code, http.StatusText(code))
	w.header.Write(w.conn)
	io.WriteString(w.conn, "\r\n")
}

// upgradeClient asks the server for a WebSocket at u.
func (s *Session) upgradeClient(ctx context.Context, u *url.URL) error {
	dialer := websocket.Dialer{
		NetDialContext: func(context.Context, string, string) (net.Conn, error) {
			return &httpHead{Conn: s.conn, s: s}, nil
		},
	}
	plain := *u
	plain.Scheme = "ws" // TLS, if any, is below
	_, resp, err := dialer.DialContext(ctx, plain.String(), nil)
	if err != nil {
		if resp != nil {
			err = fmt.Errorf("%w: server answered %s", err, resp.Status)
		}
		return fmt.Errorf("%w: %w", ErrHandshake, err)
	}
	s.web = &webSocket{masks: true}
	return nil
}
