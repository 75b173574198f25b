package cellnet

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"time"
)

// shake finds out what a new client speaks and shakes hands with it.
func (v *server) shake(s *Session) error {
	s.conn.SetDeadline(time.Now().Add(v.a.handshakeTimeout()))
	if v.a.TLS != nil {
		if err := v.secure(s); err != nil {
			return err
		}
	}
	if v.cfg.Framing != ClientFraming {
		return nil
	}
	get, err := s.begins(isGET)
	switch {
	case err != nil:
		return err
	case get && v.a.WebSocket:
		return s.upgrade()
	case get:
		return fmt.Errorf("%w: an HTTP client on a port without WebSocket", ErrHandshake)
	case v.a.TLS != nil:
		return nil
	}
	hello, err := s.begins(isHello)
	if hello {
		return ErrTLSUnexpected
	}
	return err // nil: a TCP client, whose bytes wait in s.in
}

// secure puts TLS between a connection and its session.
func (v *server) secure(s *Session) error {
	record, err := s.begins(isRecord)
	if err != nil {
		return err
	}
	if !record {
		if get, _ := isGET(s.in); get {
			io.WriteString(s.conn, "HTTP/1.0 400 Bad Request\r\n\r\nThis port wants TLS: use wss://\n")
		}
		return ErrTLSRequired
	}
	secured := tls.Server(&sniffed{Conn: s.conn, first: s.in}, v.a.TLS)
	v.mu.Lock() // because of end
	s.conn, s.sock, s.in = secured, socket{}, nil
	v.mu.Unlock()
	if err := secured.Handshake(); err != nil {
		return fmt.Errorf("%w: TLS: %w", ErrHandshake, err)
	}
	return nil
}

// sniffed is a connection whose first bytes have been read already.
type sniffed struct {
	net.Conn
	first []byte
}

func (c *sniffed) Read(p []byte) (int, error) {
	if len(c.first) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.first)
	c.first = c.first[n:]
	return n, nil
}

// NetConn is what reset goes by.
func (c *sniffed) NetConn() net.Conn { return c.Conn }

// begins reads until it is clear whether the first bytes are something. What it
// reads stays in s.in.
func (s *Session) begins(with func([]byte) (yes, maybe bool)) (bool, error) {
	for {
		if yes, maybe := with(s.in); yes || !maybe {
			return yes, nil
		}
		if err := s.fill(); err != nil {
			return false, fmt.Errorf("%w: first bytes: %w", ErrHandshake, err)
		}
	}
}

// The is* functions report whether b begins with something, or may do so when
// there is more of it.

// isGET looks for an HTTP request. No client frame begins so: it would be
// message 8276 in 17735 bytes.
func isGET(b []byte) (yes, maybe bool) {
	const get = "GET "
	n := min(len(b), len(get))
	maybe = string(b[:n]) == get[:n]
	return maybe && n == len(get), maybe
}

// isRecord looks for a TLS handshake record: 0x16, version 3.0 to 3.4.
func isRecord(b []byte) (yes, maybe bool) {
	for i, c := range b[:min(len(b), 3)] {
		if i == 0 && c != 0x16 || i == 1 && c != 0x03 || i == 2 && c > 0x04 {
			return false, false
		}
	}
	return len(b) >= 3, true
}

// isHello looks for a TLS record (its length in bytes 3 and 4) that a
// ClientHello fills: type 1, 24 bits of length. A client frame of 790 bytes may
// begin as a record does, but not go on like this.
func isHello(b []byte) (yes, maybe bool) {
	if _, maybe := isRecord(b); !maybe {
		return false, false
	}
	if len(b) > 5 && b[5] != 0x01 || len(b) > 6 && b[6] != 0x00 {
		return false, false
	}
	if len(b) < 9 {
		return false, true
	}
	record, hello := int(b[3])<<8|int(b[4]), int(b[7])<<8|int(b[8])
	return hello+4 == record, false
}
