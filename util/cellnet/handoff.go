package cellnet

import (
	"errors"
	"sync"
)

// ErrHandedOff is what Handler.Frame returns after HandOff was called while it
// ran. It is no reason: the session goes on.
var ErrHandedOff = errors.New("cellnet: another goroutine reads on")

// handOffs joins the readers that one Run has had.
type handOffs struct {
	ended   chan error     // from the last of them; capacity 1
	readers sync.WaitGroup // those that HandOff started
}

// HandOff makes a new goroutine read on while the handler is still inside
// Frame, which has turned out to take long. The frame stays valid until that
// call returns; it must return ErrHandedOff then. Batch and the next Frame may
// come before that, from the new goroutine.
//
// The caller must know that Frame is running, and that it will not return
// before HandOff has.
func (s *Session) HandOff() {
	rest := s.in[s.at:]
	s.in = append(getBuffer(max(1, len(rest))), rest...) // the old buffer is the call's that is under way
	s.at = 0
	if s.server != nil {
		s.server.all.Add(1)
		go func() {
			s.handler.Batch()
			s.server.run(s)
		}()
		return
	}
	if s.offs == nil {
		s.offs = &handOffs{ended: make(chan error, 1)}
	}
	s.offs.readers.Go(func() {
		s.handler.Batch()
		if err := s.read(); err != ErrHandedOff {
			s.offs.ended <- s.finish(err)
		}
	})
}

// runToEnd reads until the session has ended, whoever reads it last.
func (s *Session) runToEnd() error {
	if err := s.read(); err != ErrHandedOff {
		return s.finish(err)
	}
	reason := <-s.offs.ended
	s.offs.readers.Wait()
	return reason
}
