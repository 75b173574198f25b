package cellnet

import (
	"errors"
	"os"
	"time"
)

const (
	// sweepEvery is how often a server looks at each session. It does so in
	// sweepParts, so that nobody has to wait for long.
	sweepEvery = time.Second
	sweepParts = 16
	// quietSweeps is after how many sweeps without a byte a session is quiet.
	quietSweeps = 2
	// Quiet sessions are retired so many at a time, with a pause in between:
	// those that are not quiet shall not notice.
	retireAtOnce = 128
	retirePause  = 10 * time.Millisecond
	retireMost   = 512 // in one part of a sweep
)

// sweep is the goroutine that looks for sessions whose peers are quiet. It
// replaces a timer for every session, and costs busy ones nothing.
func (v *server) sweep() {
	tick := time.NewTicker(sweepEvery / sweepParts)
	defer tick.Stop()
	for part := 0; ; part = (part + 1) % sweepParts {
		select {
		case <-v.done:
			return
		case <-tick.C:
			v.sweepPart(part)
		}
	}
}

func (v *server) sweepPart(part int) {
	quiet, idle := v.quiet(part)
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

// quiet returns sessions of a part that are to be retired, and those to be
// closed. When one leaves, the last takes its place: it may miss a sweep.
func (v *server) quiet(part int) (quiet, idle []*Session) {
	var limit time.Duration
	if v.a.Idle != nil {
		limit = v.a.Idle()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	n := len(v.sessions)
	for _, s := range v.sessions[n*part/sweepParts : n*(part+1)/sweepParts] {
		if !s.open {
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

// retire makes the reader of a session, if it has one, stop waiting, for renew to
// see.
func (s *Session) retire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reason == nil && !s.dozing {
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
