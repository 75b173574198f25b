package cellnet

import (
	"errors"
	"syscall"
)

// loop reads sessions of an Inline acceptor as events tell that there are
// bytes. A session belongs to it from claim to settle; between, it dozes.
//
// Edges are enough: what is read is read until the system has no more. A read
// that brings less than there was room for was the last one, unless the event
// said that the peer has closed its end.
type loop struct {
	buf     []byte // what is read into, where nothing is left over from before
	touched []*Session
	batches []*Session // have frames in touched that Batch was not called for
}

// loopReads bounds the reads for one session in a row: there are others.
const loopReads = 4

// hangUp are the events after which there is an end to be read.
const hangUp = syscall.EPOLLRDHUP | syscall.EPOLLHUP | syscall.EPOLLERR

// read reads the sessions found for events, then ends their batches.
func (l *loop) read(found []*Session, events []syscall.EpollEvent) {
	if l.buf == nil {
		l.buf = make([]byte, 0, clientRead)
	}
	fetch(found)
	for i, s := range found {
		if s != nil && s.claim() {
			s.left = s.readLooped(l.buf, events[i].Events&hangUp != 0)
			l.touched = append(l.touched, s)
		}
	}
	for i, s := range l.batches {
		s.handler.Batch()
		l.batches[i] = nil
	}
	l.batches = l.batches[:0]
	for i, s := range l.touched {
		s.settleLooped()
		l.touched[i] = nil
	}
	l.touched = l.touched[:0]
}

// batch has Batch called when the other sessions that have something to say
// have said it.
func (d *dozer) batch(s *Session) {
	if n := len(d.loop.batches); n == 0 || d.loop.batches[n-1] != s {
		d.loop.batches = append(d.loop.batches, s)
	}
}

// claim makes the calling loop the reader of a session that dozes.
func (s *Session) claim() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.dozing {
		return false
	}
	s.dozing = false
	s.users++
	return true
}

// errMore tells that a session may have more to read.
var errMore = errors.New("cellnet: more to read")

// readLooped reads what there is, into buf if it can. An error other than
// errMore ends the session.
func (s *Session) readLooped(buf []byte, end bool) (err error) {
	s.looped = true
	for range loopReads {
		borrowed := s.in == nil
		if borrowed {
			s.in = buf
		}
		room := len(s.room())
		var n int
		n, err = s.sock.tryRead(s)
		err = s.received(n, err)
		if borrowed {
			s.giveBack()
		} else {
			s.park()
		}
		if err != nil || n < room && !end || n == 0 {
			break
		}
		err = errMore
	}
	s.looped = false
	return err
}

// giveBack leaves the loop's buffer, taking along what is left in it.
func (s *Session) giveBack() {
	if len(s.in) == 0 {
		s.in = nil
		return
	}
	s.in = append(getBuffer(len(s.in)), s.in...)
}

// settleLooped makes a session doze again, or gives it a goroutine to end in.
func (s *Session) settleLooped() {
	err := s.left
	s.left = nil
	v := s.server
	waits, blocks := err.(*held)
	s.mu.Lock()
	s.exit()
	switch {
	case blocks:
		s.dozer.remove(s)
		s.mu.Unlock()
		go v.again(s, waits.frame)
		return
	case err != nil && err != errMore:
		s.dozer.remove(s)
		s.mu.Unlock()
		go v.bury(s, err)
		return
	case s.reason != nil || !s.deadline.IsZero() || err == errMore && s.dozer.again(s) != nil:
		s.dozer.remove(s)
		s.mu.Unlock()
		go v.run(s)
		return
	}
	s.dozing = true
	s.mu.Unlock()
}

// again has the next event come even if nothing happens: there may be more.
func (d *dozer) again(s *Session) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.control(s)
}
