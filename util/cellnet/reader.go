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
	linkRead        = 64 << 10
	plainClientRead = 4 << 10
	plainLinkRead   = 64 << 10

	// dialogue is how many reads in a row have brought one frame each when the
	// peer seems to wait for an answer to each (attend_unix.go).
	dialogue = 8

	// maxDropped is how much a closing session reads and drops, waiting for
	// the peer to close its end.
	maxDropped = 1 << 20
)

// errReadOnce ends the reader of a session that was woken to read once. It is no
// reason: the session dozes on.
var errReadOnce = errors.New("cellnet: read once")

// read hands over what arrives until the connection can be read no further, or
// another goroutine reads on, and returns why.
func (s *Session) read() error {
	if len(s.in) > 0 { // left over from the handshake, or by HandOff
		if err := s.handOver(); err != nil {
			return err
		}
	}
	for {
		var n int
		var err error
		if s.sock.usable() {
			n, err = s.sock.read(s)
		} else {
			n, err = s.conn.Read(s.room())
		}
		if err := s.received(n, err); err != nil {
			return err
		}
		if s.once || s.mayLoop() {
			return errReadOnce // if there is more, the dozer will say so
		}
	}
}

// received takes the outcome of a read into room. An error ends reading.
func (s *Session) received(n int, err error) error {
	if n > 0 {
		s.in = s.in[:len(s.in)+n]
		s.reads.Add(1)
		s.cfg.Counters.read(n)
		if err := s.handOver(); err != nil {
			return err
		}
	}
	return err
}

// handOver hands all whole frames to the handler and ends the batch. Once the
// session is closing, bytes are dropped instead: reading on lets the peer
// finish, so that it reads our last words before it hears of a reset. An error
// ends reading.
func (s *Session) handOver() error {
	if !s.stopped.Load() {
		frames, err := s.deliver()
		s.cfg.Counters.received(frames)
		if err == ErrHandedOff {
			return err // nothing of the reader's is ours any more
		}
		if frames != 1 {
			s.alone = 0
		} else if s.alone < dialogue {
			s.alone++
		}
		switch {
		case frames > 0 && s.looped && err == nil:
			s.dozer.batch(s)
		case frames > 0:
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
		if s.dropped += len(s.in); s.dropped > maxDropped {
			return ErrClosed
		}
		s.in, s.need = s.in[:0], 0
	}
	return nil
}

// deliver hands over the whole frames in s.in and moves the rest to its beginning.
func (s *Session) deliver() (frames int, err error) {
	limit := s.cfg.maxFrame()
	for s.at = 0; !s.stopped.Load(); {
		frame, total, err := s.next(s.in[s.at:], limit)
		if err != nil {
			return frames, err
		}
		if total > len(s.in)-s.at {
			s.need = total
			break
		}
		s.at += total
		if frame == nil {
			continue
		}
		frames++
		if err := s.handler.Frame(frame); err != nil {
			return frames, err
		}
	}
	if s.at > 0 {
		s.in = s.in[:copy(s.in, s.in[s.at:])]
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

// More tells Handler.Frame, which alone may ask, whether another whole frame has
// arrived already. It does not know about WebSocket frames.
func (s *Session) More() bool {
	if s.web != nil {
		return false
	}
	frame, total, err := s.next(s.in[s.at:], s.cfg.maxFrame())
	return err != nil || frame != nil && total <= len(s.in)-s.at
}

// room returns where the next read may put bytes, at least one. A frame larger
// than a read gets room as its bytes arrive, not as its head announces them, and
// twice as much each time that it has filled what it had.
func (s *Session) room() []byte {
	size := s.readSize()
	if n := len(s.in); n >= size && n == cap(s.in) {
		size = min(s.need, 2*n)
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

// reasonOf turns why reading ended into a reason for the session to end.
func (s *Session) reasonOf(err error) error {
	switch {
	case err == io.EOF && (len(s.in) > 0 || s.web != nil && s.web.parts != nil):
		return io.ErrUnexpectedEOF
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ErrReadTimeout
	}
	return err
}
