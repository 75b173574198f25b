package cellnet

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"time"
)

// shake finds out what a new client speaks and shakes hands with it.
func (v *server) shake(s *Session) error {
	s.conn.SetDeadline(time.Now().Add(v.a.handshakeTimeout()))
	if v.a.TLS != nil {
		v.secure(s)
		if err := s.conn.(*tls.Conn).Handshake(); err != nil {
			return tlsError(err)
		}
	}
	if v.cfg.Framing != ClientFraming {
		return nil
	}
	return v.shakeClient(s)
}

func (v *server) shakeClient(s *Session) error {
	for {
		if err := s.fill(); err != nil {
			return fmt.Errorf("%w: first bytes: %w", ErrHandshake, err)
		}
		get, maybeGET := beginsWithGET(s.in)
		hello, maybeHello := beginsWithHello(s.in)
		switch {
		case get && v.a.WebSocket:
			return s.upgrade()
		case get:
			return fmt.Errorf("%w: an HTTP client on a port without WebSocket", ErrHandshake)
		case hello:
			return ErrTLSUnexpected
		case !maybeGET && !maybeHello:
			return nil // a TCP client; its bytes wait in s.in
		}
	}
}

// beginsWithGET reports whether b is the beginning of an HTTP request, and
// whether it may still become one. No client frame begins so: it would be
// message 8276 in 17735 bytes.
func beginsWithGET(b []byte) (yes, maybe bool) {
	const get = "GET "
	n := min(len(b), len(get))
	maybe = string(b[:n]) == get[:n]
	return maybe && n == len(get), maybe
}

// beginsWithHello reports the same of a TLS ClientHello: a handshake record
// (0x16, version 3.0 to 3.4, length) with a ClientHello (1, 24 bits of length)
// that fills it. A client frame of 790 bytes begins with 0x16 0x03 too, but not
// with all of this.
func beginsWithHello(b []byte) (yes, maybe bool) {
	const size = 9
	for i, c := range b[:min(len(b), size)] {
		ok := true
		switch i {
		case 0:
			ok = c == 0x16
		case 1:
			ok = c == 0x03
		case 2:
			ok = c <= 0x04
		case 5:
			ok = c == 0x01
		case 6:
			ok = c == 0x00
		case 8:
			record, hello := int(b[3])<<8|int(b[4]), int(b[7])<<8|int(b[8])
			ok = hello+4 == record
		}
		if !ok {
			return false, false
		}
	}
	return len(b) >= size, true
}

// tlsError turns why a TLS handshake failed into a reason, and tells a plain
// HTTP client what is wrong.
func tlsError(err error) error {
	var plain tls.RecordHeaderError
	if !errors.As(err, &plain) {
		return fmt.Errorf("%w: TLS: %w", ErrHandshake, err)
	}
	if get, _ := beginsWithGET(plain.RecordHeader[:]); get && plain.Conn != nil {
		io.WriteString(plain.Conn, "HTTP/1.0 400 Bad Request\r\n\r\nThis port wants TLS: use wss://\n")
	}
	return ErrTLSRequired
}
