package cellnet

import (
	"encoding/binary"
	"errors"
	"os"
	"runtime"
	"time"
)

const (
	// A flush that finds new bytes after every write hands over to a writer
	// goroutine after so many: its caller has other things to do.
	flushRounds = 4

	// plainWrite is what a write without a descriptor may take at a time: it
	// counts as progress only when all of it is through.
	plainWrite = 16 << 10
)

// Append appends one frame, head then body, to the bytes waiting to be
// written; both are copied. It never blocks. With first the caller is the one
// to call Flush, when its batch ends; otherwise somebody else already is.
//
// Errors: ErrClosed once the session is closing; ErrSealed after Seal; ErrFull
// with Config.Refuse; ErrSlowConsumer when this frame was too much and cut the
// session; ErrFrameTooLarge and ErrShortFrame for a frame that cannot be sent.
func (s *Session) Append(head, body []byte) (first bool, err error) {
	if first, err = s.enter(head, body); err == nil {
		s.mu.Unlock()
	}
	return first, err
}

// Send is Append and Flush.
func (s *Session) Send(head, body []byte) error {
	first, err := s.enter(head, body)
	switch {
	case err != nil:
	case first:
		s.writing = true
		s.write()
	default:
		s.mu.Unlock()
	}
	return err
}

// enter appends a frame for Append and Send. Without an error it returns with
// the lock.
func (s *Session) enter(head, body []byte) (first bool, err error) {
	n := len(head) + len(body)
	if n > s.cfg.maxOut() {
		return false, ErrFrameTooLarge
	}
	if n < 2 && s.cfg.Framing == ClientFraming {
		return false, ErrShortFrame
	}
	s.mu.Lock()
	if s.sealed && len(head) > 0 && head[0] == s.seal && s.reason == nil {
		s.mu.Unlock()
		return false, ErrSealed
	}
	if err := s.admit(n); err != nil {
		s.mu.Unlock()
		return false, s.turnAway(err)
	}
	first = len(s.out) == 0 && !s.writing
	s.append(head, body)
	return first, nil
}

// Seal ends a kind of frames: those whose head begins with this byte. When it
// returns, Append has taken the last of them. A session has one such kind.
func (s *Session) Seal(kind byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seal, s.sealed = kind, true
}

// append appends a frame to out. The lock is held.
func (s *Session) append(head, body []byte) {
	n := len(head) + len(body)
	b := s.grow(n + wsMaxHead)
	start := len(b)
	switch {
	case s.web != nil:
		b = appendWS(b, s.web.masks, wsBinary, head, body)
	case s.cfg.Framing == ClientFraming:
		b = binary.LittleEndian.AppendUint16(b, uint16(n))
		b = append(append(b, head...), body...)
	default:
		b = binary.LittleEndian.AppendUint32(b, uint32(n))
		b = append(append(b, head...), body...)
	}
	s.out = b
	s.outFrames++
	s.pending += len(b) - start
}

// admit says whether n more bytes may wait; where nothing waits any frame may.
// The lock is held.
func (s *Session) admit(n int) error {
	switch {
	case s.reason != nil:
		return ErrClosed
	case s.pending == 0 || s.pending+n <= s.cfg.maxPending():
		return nil
	case s.cfg.Refuse:
		return ErrFull
	}
	return ErrSlowConsumer
}

// turnAway counts a frame that was not admitted, and cuts a slow consumer.
func (s *Session) turnAway(err error) error {
	switch err {
	case ErrFull:
		s.cfg.Counters.refused()
	case ErrSlowConsumer:
		s.cut(err)
	}
	return err
}

// grow returns out with room for n more bytes. A link's begins as large as its
// last batch was; clients are many and may all have something waiting at once.
// The lock is held.
func (s *Session) grow(n int) []byte {
	switch {
	case s.out != nil:
		return growBuffer(s.out, n)
	case s.cfg.Framing == ClientFraming:
		return getBuffer(max(n, min(s.batch, 1<<10)))
	}
	return getBuffer(max(n, s.batch))
}

// Flush writes what was appended, by one system call in the calling goroutine
// where the connection allows it; it never blocks. What the socket does not
// take is left to a writer goroutine. A Flush that finds a write under way
// leaves its bytes to it.
func (s *Session) Flush() {
	s.mu.Lock()
	if s.writing || len(s.out) == 0 {
		s.mu.Unlock()
		return
	}
	s.writing = true
	s.write()
}

// The functions below hand the lock to each other: take is entered with it and
// returns without, settle is entered without and returns with it. A flush thus
// locks twice, once on each side of the write.

// write writes until nothing is left, or has a writer goroutine do so. The
// caller has set writing, which is given back with the last byte, and holds
// the lock, which is let go of.
func (s *Session) write() {
	for round := 0; s.sock.usable() && round < flushRounds; round++ {
		if !s.take(1) {
			return
		}
		var err error
		if s.took, err = s.sock.tryWrite(s, s.flight[s.sent:]); err != nil {
			s.mu.Lock()
			s.exit()
			s.mu.Unlock()
			s.writeFailed(err)
			return
		}
		s.settle()
		s.exit()
		if s.flight != nil {
			s.cfg.Counters.blocked()
			break
		}
	}
	s.mu.Unlock()
	go s.drain()
}

// drain is the writer goroutine.
func (s *Session) drain() {
	s.mu.Lock()
	for s.take(0) {
		s.arm()
		var err error
		if s.sock.usable() {
			err = s.sock.waitWrite(s)
		} else {
			rest := s.flight[s.sent:]
			s.took, err = s.conn.Write(rest[:min(len(rest), plainWrite)])
		}
		if err != nil && !(s.took > 0 && errors.Is(err, os.ErrDeadlineExceeded)) {
			s.writeFailed(err)
			return
		}
		s.settle()
	}
}

// take makes flight hold what to write next: the rest of the last batch, or a
// new one, and counts so many users of the descriptor. With nothing left it gives
// writing back and returns false.
func (s *Session) take(users int8) bool {
	if s.flight != nil {
		s.users += users
		s.mu.Unlock()
		return true
	}
	if len(s.out) > 0 && s.cfg.Gather != nil && s.cfg.Gather() {
		s.mu.Unlock()
		runtime.Gosched()
		s.mu.Lock()
	}
	if len(s.out) == 0 {
		s.release()
		return false
	}
	s.flight, s.sent, s.frames = s.out, 0, s.outFrames
	s.batch = len(s.out)
	s.out, s.outFrames = nil, 0
	s.users += users
	s.mu.Unlock()
	return true
}

// exit ends a use of the descriptor, which is not closed as long as there are
// users: it could be another connection's at once. The lock is held. (Without a
// reason there is no reset, and no need to fetch where it stands.)
func (s *Session) exit() {
	if s.users--; s.users == 0 && s.stopped.Load() && s.reset {
		s.reset = false
		reset(s.conn)
	}
}

// settle books what the last write took.
func (s *Session) settle() {
	n := s.took
	s.sent += n
	if n > 0 {
		s.cfg.Counters.wrote(n)
	}
	if s.sent == len(s.flight) {
		s.cfg.Counters.sent(s.frames)
		putBuffer(s.flight)
		s.flight = nil
	}
	s.mu.Lock()
	s.pending -= n
}

// arm gives a write that may wait its deadline.
func (s *Session) arm() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reason != nil {
		return // the deadline of closing stands
	}
	s.armed = true
	s.conn.SetWriteDeadline(time.Now().Add(s.cfg.writeTimeout()))
}
