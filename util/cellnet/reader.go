package cellnet

import (
	"errors"
	"io"
	"os"
)

const (
	// What one read asks for. Clients send little at a time, links a lot; a
	// connection without a descriptor holds its buffer while it waits.
	clientRead      = 16 << 10
	linkRead        = 256 << 10
	plainClientRead = 4 << 10
	plainLinkRead   = 64 << 10

	// maxDropped is how much a closing session reads and drops, waiting for
	// the peer to close its end.
	maxDropped = 1 << 20
)

// read hands over what arrives until the connection can be read no further.
func (s *Session) read() {
	s.readErr = nil
	if len(s.in) > 0 { // left over from the handshake
		s.handOver()
	}
	for {
		var n int
		var err error
		if s.sock.usable() {
			n, err = s.sock.read(s)
		} else {
			n, err = s.conn.Read(s.room())
		}
		if !s.received(n, err) {
			return
		}
	}
}

// received takes the outcome of a read into room. It reports whether to go on.
func (s *Session) received(n int, err error) bool {
	s.in = s.in[:len(s.in)+n]
	if n > 0 {
		s.reads.Add(1)
		s.cfg.Counters.read(n)
		s.handOver()
	}
	if err == nil && s.stopped.Load() && s.dropped > maxDropped {
		err = ErrClosed
	}
	s.readErr = err
	return err == nil
}

// handOver hands all whole frames to the handler and ends the batch. Once the
// session is closing, bytes are dropped instead: reading on lets the peer
// finish, so that it reads our last words before it hears of a reset.
func (s *Session) handOver() {
	if !s.stopped.Load() {
		frames, err := s.deliver()
		if frames > 0 {
			s.cfg.Counters.received(frames)
			s.handler.Batch()
		}
		if s.web != nil && s.web.pong {
			s.web.pong = false
			s.Flush()
		}
		if err != nil {
			s.Close(err)
		}
	}
	if s.stopped.Load() {
		s.dropped += len(s.in)
		s.in = s.in[:0]
		s.need = 0
	}
}

// deliver hands over the whole frames in s.in and moves the rest to its beginning.
func (s *Session) deliver() (frames int, err error) {
	b, limit := s.in, s.cfg.maxFrame()
	for !s.stopped.Load() {
		frame, total, err := s.next(b, limit)
		if err != nil {
			return frames, err
		}
		if total > len(b) {
			s.need = total
			break
		}
		b = b[total:]
		if frame == nil {
			continue
		}
		frames++
		if err := s.handler.Frame(frame); err != nil {
			return frames, err
		}
	}
	if len(b) < len(s.in) {
		s.in = s.in[:copy(s.in, b)]
	}
	return frames, nil
}

func (s *Session) next(b []byte, limit int) (frame []byte, total int, err error) {
	switch {
	case s.web != nil:
		return s.nextWSFrame(b, limit)
	case s.cfg.Framing == ClientFraming:
		return nextClientFrame(b, limit)
	}
	return nextLinkFrame(b, limit)
}

// room returns where the next read may put bytes, at least one. A frame larger
// than a read gets room as its bytes arrive, not as its head announces them.
func (s *Session) room() []byte {
	size := s.readSize()
	if s.need > size && len(s.in) >= size {
		size = min(s.need, 2*len(s.in))
	}
	if cap(s.in) < size {
		s.moveTo(size)
	}
	return s.in[len(s.in):cap(s.in)]
}

// park gives back what a session need not hold while it waits for bytes.
func (s *Session) park() {
	switch n := len(s.in); {
	case s.in == nil:
	case n == 0:
		putBuffer(s.in)
		s.in = nil
	case 4*bufferSize(n) <= cap(s.in):
		s.moveTo(n)
	}
}

func (s *Session) moveTo(size int) {
	b := append(getBuffer(size), s.in...)
	if s.in != nil {
		putBuffer(s.in)
	}
	s.in = b
}

func (s *Session) readSize() int {
	client := s.cfg.Framing == ClientFraming
	switch {
	case client && s.sock.usable():
		return clientRead
	case client:
		return plainClientRead
	case s.sock.usable():
		return linkRead
	}
	return plainLinkRead
}

// readReason turns why reading ended into the reason of the session.
func (s *Session) readReason() error {
	switch {
	case s.readErr == io.EOF && (len(s.in) > 0 || s.web != nil && s.web.parts != nil):
		return io.ErrUnexpectedEOF
	case errors.Is(s.readErr, os.ErrDeadlineExceeded):
		return ErrReadTimeout
	}
	return s.readErr
}
