package cellnet

import (
	"errors"
	"os"
	"time"
)

const (
	// sweepEvery is how often a server looks over its sessions.
	sweepEvery = time.Second
	// quietSweeps is after how many sweeps without a byte a session is quiet.
	quietSweeps = 2
)

// sweep is the goroutine that looks for sessions whose peers are quiet. It
// replaces a timer for every session, and costs busy ones nothing.
func (v *server) sweep() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-v.done:
			return
		case <-tick.C:
			v.sweepOnce()
		}
	}
}

func (v *server) sweepOnce() {
	var limit time.Duration
	if v.a.Idle != nil {
		limit = v.a.Idle()
	}
	var idle []*Session
	v.mu.Lock()
	for s, open := range v.sessions {
		if !open {
			continue
		}
		quiet := time.Duration(s.sweep()) * sweepEvery
		if limit > 0 && quiet > limit {
			idle = append(idle, s)
		}
	}
	v.mu.Unlock()
	for _, s := range idle {
		s.Close(ErrIdle)
	}
}

// sweep returns for how many sweeps the peer has been quiet. It makes the
// reader of a session that becomes quiet stop waiting.
func (s *Session) sweep() uint32 {
	if reads := s.reads.Load(); reads != s.seen {
		s.seen, s.quiet = reads, 0
		return 0
	}
	s.quiet++
	if s.quiet == quietSweeps {
		s.mu.Lock()
		if s.reason == nil {
			s.renewing = true
			s.conn.SetReadDeadline(time.Unix(1, 0))
		}
		s.mu.Unlock()
	}
	return s.quiet
}

// renew reports whether err stopped reading only because sweep asked for it.
func (s *Session) renew(err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.renewing || !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	s.renewing = false
	s.conn.SetReadDeadline(s.deadline)
	return true
}
