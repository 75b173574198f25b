//go:build unix

package cellnet

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"
)

// attends is a Config whose sessions attend for long enough to be seen.
func attends(most int) *Config {
	return &Config{Framing: LinkFraming, Attend: most, attendFor: 500 * time.Millisecond}
}

// dialog has a peer say the next thing when it has heard the answer.
func dialog(t *testing.T, peer *Session) {
	t.Helper()
	r := newRecorder()
	heard := make(chan struct{}, 1)
	r.onBatch = func() { heard <- struct{}{} }
	run(t, peer, r)
	for range dialogue {
		if err := peer.Send([]byte("hello"), nil); err != nil {
			t.Fatal(err)
		}
		wait(t, "an answer", heard)
	}
}

// A session whose frames come one by one waits for the next attentively, and
// stops when it waits in vain.
func TestAttend(t *testing.T) {
	cfg := attends(1)
	s, peer := pair(t, cfg, &Config{Framing: LinkFraming})
	run(t, s, &echo{s: s})
	dialog(t, peer)
	within(t, "attends", func() bool { return atomic.LoadInt32(&cfg.attending) == 1 })
	within(t, "silence ends it", func() bool { return atomic.LoadInt32(&cfg.attending) == 0 })
	before := s.reads.Load()
	if err := peer.Send([]byte("again"), nil); err != nil {
		t.Fatal(err)
	}
	within(t, "reads on", func() bool { return s.reads.Load() > before })
}

// No more attend than Config.Attend says.
func TestAttendBound(t *testing.T) {
	cfg := attends(1)
	for range 3 {
		s, peer := pair(t, cfg, &Config{Framing: LinkFraming})
		run(t, s, &echo{s: s})
		dialog(t, peer)
	}
	least := int32(3) // some try in vain now and then
	for range 20 {
		time.Sleep(time.Millisecond)
		least = min(least, atomic.LoadInt32(&cfg.attending))
	}
	if least > 1 {
		t.Errorf("%d attend", least)
	}
}

// Frames that come together are no dialogue.
func TestAttendBatches(t *testing.T) {
	cfg := attends(1)
	s, peer := pair(t, cfg, nil)
	run(t, s, newRecorder())
	for range 100 {
		before := s.reads.Load()
		if _, err := peer.conn.Write([]byte("\x01\x00\x00\x00a\x01\x00\x00\x00b")); err != nil {
			t.Fatal(err)
		}
		within(t, "read", func() bool { return s.reads.Load() > before })
		if atomic.LoadInt32(&cfg.attending) != 0 {
			t.Fatal("attends")
		}
	}
}

// A session that attends can be closed, aborted and given a deadline as ever.
func TestAttendEnds(t *testing.T) {
	over := errors.New("over")
	for what, c := range map[string]struct {
		end    func(s, peer *Session)
		reason error
	}{
		"closed":      {func(s, _ *Session) { s.Close(over) }, over},
		"aborted":     {func(s, _ *Session) { s.Abort(over) }, over},
		"timed out":   {func(s, _ *Session) { s.SetReadDeadline(time.Now()) }, ErrReadTimeout},
		"peer closed": {func(_, peer *Session) { peer.Abort(nil) }, nil},
	} {
		t.Run(what, func(t *testing.T) {
			cfg := attends(1)
			s, peer := pair(t, cfg, &Config{Framing: LinkFraming})
			e := &echo{s: s, ended: make(chan error, 1)}
			run(t, s, e)
			dialog(t, peer)
			within(t, "attends", func() bool { return atomic.LoadInt32(&cfg.attending) == 1 })
			c.end(s, peer)
			if reason := wait(t, "the end", e.ended); reason == nil || c.reason != nil && reason != c.reason {
				t.Errorf("ended for %v", reason)
			}
		})
	}
}
