//go:build unix

package cellnet

import (
	"errors"
	"runtime"
	"testing"
	"time"
)

// dialog has a peer say the next thing when it has heard the answer, until the
// session that echoes waits for it attentively: then it returns true. It gives up
// after so many frames.
func dialog(t *testing.T, peer *Session, cfg *Config, frames int) bool {
	t.Helper()
	r := newRecorder()
	heard := make(chan struct{}, 1)
	r.onBatch = func() { heard <- struct{}{} }
	run(t, peer, r)
	for range frames {
		if err := peer.Send([]byte("hello"), nil); err != nil {
			t.Fatal(err)
		}
		wait(t, "an answer", heard)
		for end := time.Now().Add(attendFor / 2); time.Now().Before(end); runtime.Gosched() {
			if cfg.attending.Load() > 0 {
				return true
			}
		}
	}
	return false
}

const enough = 10_000 // frames for a dialogue on a busy machine

// A session whose frames come one by one waits for the next attentively, if the
// Config lets it, and stops when it waits in vain.
func TestAttend(t *testing.T) {
	for _, most := range []int{0, 1} {
		cfg := &Config{Framing: LinkFraming, Attend: most}
		s, peer := pair(t, cfg, &Config{Framing: LinkFraming})
		run(t, s, &echo{s: s})
		if attended := dialog(t, peer, cfg, max(4*dialogue, most*enough)); attended != (most > 0) {
			t.Errorf("Attend %d: attends: %v", most, attended)
		}
		within(t, "silence ends it", func() bool { return cfg.attending.Load() == 0 })
	}
}

// Frames that come together are no dialogue.
func TestAttendBatches(t *testing.T) {
	cfg := &Config{Framing: LinkFraming, Attend: 1}
	s, peer := pair(t, cfg, nil)
	run(t, s, newRecorder())
	for range 100 {
		before := s.reads.Load()
		if _, err := peer.conn.Write([]byte("\x01\x00\x00\x00a\x01\x00\x00\x00b")); err != nil {
			t.Fatal(err)
		}
		within(t, "read", func() bool { return s.reads.Load() > before })
		if cfg.attending.Load() != 0 {
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
			cfg := &Config{Framing: LinkFraming, Attend: 1}
			s, peer := pair(t, cfg, &Config{Framing: LinkFraming})
			e := &echo{s: s, ended: make(chan error, 1)}
			run(t, s, e)
			if !dialog(t, peer, cfg, enough) {
				t.Error("did not attend")
			}
			c.end(s, peer)
			if reason := wait(t, "the end", e.ended); reason == nil || c.reason != nil && reason != c.reason {
				t.Errorf("ended for %v", reason)
			}
		})
	}
}
