package cellnet

import (
	"errors"
	"sync"
)

// ErrHandedOff is what Handler.Frame returns when HandOff was called for it. It
// is no reason: the session goes on.
var ErrHandedOff = errors.New("cellnet: another goroutine reads on")

// HandOff makes a new goroutine read on while the handler is still inside
// Frame, which has turned out to take long. The frame stays valid until that
// call returns, and it must return ErrHandedOff. The next Batch, Frame and even
// Closed may come before that, from the new goroutine.
//
// It is called once for a call of Frame, by any goroutine, as soon as it is
// settled that the call will return ErrHandedOff.
func (s *Session) HandOff() {
	rest := s.in[s.at:]
	s.in = append(getBuffer(max(1, len(rest))), rest...) // the old buffer is the call's that is under way
	s.at = 0
	if v := s.server; v != nil {
		s.mu.Lock()
		if s.handed++; s.handed > 0 {
			v.all.Add(1)
		}
		s.mu.Unlock()
		go func() {
			s.handler.Batch()
			v.run(s)
		}()
		return
	}
	offs := s.runners()
	offs.all.Go(func() {
		s.handler.Batch()
		if err := s.read(); err != ErrHandedOff {
			offs.ended <- s.finish(err)
		}
	})
}

// handedOff ends a reader of a server whose session another one reads on. It
// may come before the HandOff: then that one's goroutine counts for this one's.
func (v *server) handedOff(s *Session) {
	s.mu.Lock()
	if s.handed--; s.handed >= 0 {
		v.all.Done()
	}
	s.mu.Unlock()
}

// runners are the goroutines by which HandOff has continued a Run.
type runners struct {
	all   sync.WaitGroup
	ended chan error // from the last of them
}

// runners is called by HandOff and by Run, whichever comes first.
func (s *Session) runners() *runners {
	if r := s.ran.Load(); r != nil {
		return r
	}
	s.ran.CompareAndSwap(nil, &runners{ended: make(chan error, 1)})
	return s.ran.Load()
}

// runToEnd reads until the session has ended, whoever reads it last.
func (s *Session) runToEnd() error {
	err := s.read()
	if err != ErrHandedOff {
		return s.finish(err)
	}
	r := s.runners()
	reason := <-r.ended
	r.all.Wait()
	return reason
}
