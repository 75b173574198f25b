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
	// Quiet sessions are retired so many at a time, with a pause in between:
	// those that are not quiet shall not notice.
	retireAtOnce = 128
	retirePause  = 10 * time.Millisecond
	retireMost   = 8192 // in one sweep
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
	quiet, idle := v.quiet()
	for _, s := range idle {
		s.Close(ErrIdle)
	}
	for i, s := range quiet {
		s.retire()
		if i%retireAtOnce == retireAtOnce-1 {
			select {
			case <-v.done:
				return
			case <-time.After(retirePause):
			}
		}
	}
}

// quiet returns sessions that are to be retired, and those to be closed.
func (v *server) quiet() (quiet, idle []*Session) {
	var limit time.Duration
	if v.a.Idle != nil {
		limit = v.a.Idle()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for s, open := range v.sessions {
		if !open {
			continue
		}
		sweeps := s.sweeps()
		if limit > 0 && time.Duration(sweeps)*sweepEvery > limit {
			idle = append(idle, s)
		} else if sweeps >= quietSweeps && !s.retired && len(quiet) < retireMost {
			s.retired = true
			quiet = append(quiet, s)
		}
	}
	return quiet, idle
}

// sweeps returns for how many sweeps the peer has been silent.
func (s *Session) sweeps() uint32 {
	if reads := s.reads.Load(); reads != s.seen {
		s.seen, s.silent, s.retired = reads, 0, false
	} else {
		s.silent++
	}
	return s.silent
}

// retire makes the reader of a session stop waiting, for renew to see.
func (s *Session) retire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reason == nil {
		s.renewing = true
		s.conn.SetReadDeadline(time.Unix(1, 0))
	}
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
