//go:build unix

package cellnet

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"
)

// pairAttending is a session that echoes, and its peer. The session attends for so
// long.
func pairAttending(t *testing.T, cfg *Config) (s, peer *Session, ended chan error, talk func()) {
	t.Helper()
	s, peer = pair(t, cfg, &Config{Framing: LinkFraming})
	ended = make(chan error, 1)
	run(t, s, &echo{s: s, ended: ended})
	r := newRecorder()
	heard := make(chan struct{}, 1)
	r.onBatch = func() { heard <- struct{}{} }
	run(t, peer, r)
	return s, peer, ended, func() {
		t.Helper()
		for range dialogue {
			if err := peer.Send([]byte("hello"), nil); err != nil {
				t.Fatal(err)
			}
			wait(t, "an answer", heard)
		}
	}
}

func attending(lasts time.Duration) *Config {
	return &Config{Framing: LinkFraming, Attend: 1, attendFor: lasts}
}

// attends reports whether that many do.
func (c *Config) attends(n int32) func() bool {
	return func() bool { return atomic.LoadInt32(&c.attending) == n }
}

// A session whose frames come one by one waits for the next attentively: it hears
// them, and the peer's end. No more attend than Config.Attend says.
func TestAttend(t *testing.T) {
	cfg := attending(time.Hour)
	var peers []*Session
	var ends []chan error
	var talks []func()
	for range 3 {
		_, peer, ended, talk := pairAttending(t, cfg)
		talk()
		peers, ends, talks = append(peers, peer), append(ends, ended), append(talks, talk)
		within(t, "one attends", cfg.attends(1)) // another tries in vain for a moment
	}
	for _, talk := range talks {
		talk()
		within(t, "one attends", cfg.attends(1))
	}
	for i, peer := range peers {
		peer.Close(nil)
		wait(t, "the end", ends[i])
	}
	within(t, "none attends", cfg.attends(0))
}

// Silence ends it, and the session reads on as ever.
func TestAttendInVain(t *testing.T) {
	cfg := attending(time.Millisecond)
	_, _, _, talk := pairAttending(t, cfg)
	for range 20 {
		talk()
		within(t, "none attends", cfg.attends(0))
	}
}

// Without Attend none does.
func TestAttendNot(t *testing.T) {
	cfg := attending(time.Hour)
	cfg.Attend = 0
	_, _, _, talk := pairAttending(t, cfg)
	for range 3 {
		talk()
		if !cfg.attends(0)() {
			t.Fatal("attends")
		}
	}
}

// Frames that come together are no dialogue.
func TestAttendBatches(t *testing.T) {
	cfg := attending(time.Hour)
	s, peer := pair(t, cfg, nil)
	run(t, s, newRecorder())
	for range 100 {
		before := s.reads.Load()
		if _, err := peer.conn.Write([]byte("\x01\x00\x00\x00a\x01\x00\x00\x00b")); err != nil {
			t.Fatal(err)
		}
		within(t, "read", func() bool { return s.reads.Load() > before })
		if !cfg.attends(0)() {
			t.Fatal("attends")
		}
	}
}

// A session that attends can be closed, aborted and given a deadline as ever: it
// notices when the moment is over.
func TestAttendEnds(t *testing.T) {
	over := errors.New("over")
	for what, c := range map[string]struct {
		end    func(s *Session)
		reason error
	}{
		"closed":    {func(s *Session) { s.Close(over) }, over},
		"aborted":   {func(s *Session) { s.Abort(over) }, over},
		"timed out": {func(s *Session) { s.SetReadDeadline(time.Now()) }, ErrReadTimeout},
	} {
		t.Run(what, func(t *testing.T) {
			cfg := attending(50 * time.Millisecond)
			s, _, ended, talk := pairAttending(t, cfg)
			within(t, "attends", func() bool { talk(); return cfg.attends(1)() })
			c.end(s)
			if reason := wait(t, "the end", ended); reason != c.reason {
				t.Errorf("ended for %v", reason)
			}
		})
	}
}
