package cellnet

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// Close ends the session with reason (nil: ErrClosed): nothing more is handed
// to the handler, nothing more can be appended, what was appended is still
// written, and the connection is closed when the peer has closed its end or
// Config.Linger is over, or without waiting with Config.Brief. It returns at once. Of several reasons the first wins.
func (s *Session) Close(reason error) {
	if reason == nil {
		reason = ErrClosed
	}
	s.mu.Lock()
	if s.reason != nil {
		s.mu.Unlock()
		return
	}
	s.end(reason)
	if p, ok := s.handler.(Parting); ok {
		if frame := p.LastWords(reason); frame != nil {
			s.append(frame, nil)
		}
	}
	if s.web != nil {
		s.appendClose(reason)
	}
	s.deadline = time.Now().Add(s.cfg.linger())
	s.conn.SetDeadline(s.deadline)
	if s.writing {
		s.mu.Unlock() // whoever writes sees to the rest
		return
	}
	s.writing = true
	s.write()
}

// Abort ends the session now: what is pending is lost, and a TCP peer hears of
// it by a reset. A reason given before stands.
func (s *Session) Abort(reason error) {
	if reason == nil {
		reason = ErrClosed
	}
	s.abort(reason)
}

// abort reports whether its reason is the first.
func (s *Session) abort(reason error) (first bool) {
	s.mu.Lock()
	if first = s.reason == nil; first {
		s.end(reason)
	}
	s.reset = s.users > 0
	now := !s.reset
	s.mu.Unlock()
	if now {
		reset(s.conn)
	}
	return first
}

// cut aborts a session whose peer does not read, and counts it.
func (s *Session) cut(reason error) {
	if s.abort(reason) {
		s.cfg.Counters.slowCut()
	}
}

// end sets the reason, and sees to it that a reader finishes the session. The
// lock is held.
func (s *Session) end(reason error) {
	s.reason = reason
	s.stopped.Store(true)
	s.wake()
}

// reset closes a connection without care for what is under way.
func reset(conn net.Conn) {
	for {
		t, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		conn = t.NetConn() // TLS would try to say goodbye
	}
	if t, ok := conn.(*net.TCPConn); ok {
		t.SetLinger(0)
	}
	conn.Close()
}

// appendClose appends our last words on a WebSocket. The lock is held.
func (s *Session) appendClose(reason error) {
	var code [2]byte
	binary.BigEndian.PutUint16(code[:], wsCloseCode(reason))
	before := len(s.out)
	s.out = appendWS(s.grow(2+wsMaxHead), s.web.masks, wsClose, code[:], nil)
	s.pending += len(s.out) - before
}

// release gives writing back: nothing is left to write. The lock is held, and
// let go of.
func (s *Session) release() {
	if s.stopped.Load() {
		reading := s.reading && (!s.cfg.Brief || s.web != nil)
		s.mu.Unlock()
		s.shut(reading)
		s.mu.Lock()
		if s.drained != nil {
			close(s.drained)
			s.drained = nil
		}
	} else if s.armed {
		s.armed = false
		s.conn.SetWriteDeadline(time.Time{})
	}
	s.writing = false
	s.mu.Unlock()
}

// shut closes our half of the connection, so that the peer sees the end behind
// all that was written; or all of it, when nobody reads the other half.
func (s *Session) shut(reading bool) {
	if half, ok := s.conn.(interface{ CloseWrite() error }); ok && reading && half.CloseWrite() == nil {
		return
	}
	s.conn.Close()
}

// writeFailed gives writing back after an error: what is pending is lost.
func (s *Session) writeFailed(err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		s.cut(ErrWriteTimeout)
	} else {
		s.Abort(err)
	}
	if s.flight != nil {
		putBuffer(s.flight)
		s.flight = nil
	}
	s.mu.Lock()
	if s.out != nil {
		putBuffer(s.out)
	}
	s.out, s.outFrames, s.pending = nil, 0, 0
	s.release()
}

// finish ends a session that can be read no further because of err, waits for
// its writer and tells the handler. It returns the reason of the end.
func (s *Session) finish(err error) error {
	s.mu.Lock()
	s.reading = false
	s.mu.Unlock()
	switch err = s.reasonOf(err); {
	case err == io.EOF, err == ErrReadTimeout: // the peer may still read
		s.Close(err)
	case !s.stopped.Load():
		s.Abort(err)
	}
	reason := s.awaitWriter()
	s.conn.Close()
	if s.in != nil {
		putBuffer(s.in)
		s.in = nil
	}
	s.cfg.Counters.opened(-1)
	s.handler.Closed(reason)
	return reason
}

// awaitWriter waits until nobody writes to the ending session, whose deadline
// sees to that. It returns the reason of the end.
func (s *Session) awaitWriter() error {
	s.mu.Lock()
	for s.writing {
		if s.drained == nil {
			s.drained = make(chan struct{})
		}
		drained := s.drained
		s.mu.Unlock()
		<-drained
		s.mu.Lock()
	}
	defer s.mu.Unlock()
	return s.reason
}
