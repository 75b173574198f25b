package link

import (
	"context"
	"time"
)

const (
	pulseEvery   = 3 * time.Second
	silentPulses = 4 // this many without a word from the peer end the link
)

// pulse says on every link that we are here, and ends those whose peer says
// nothing: a host that has vanished sends no FIN, and a process that hangs
// takes what it is sent without ever handling it.
func (ls *Links) pulse(ctx context.Context) {
	tick := time.NewTicker(pulseEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for _, l := range ls.All() {
			if l.isSilent() {
				l.session.Abort(ErrSilent)
				continue
			}
			// It matters to nobody whether this one has found room.
			if first, _ := l.Append(Control, 0, pulseID, nil); first {
				l.Flush()
			}
		}
	}
}

// isSilent counts a pulse and reports whether it was one too many. While a
// handler is at work on what the peer has said the silence is our own.
func (l *Link) isSilent() bool {
	if heard := l.heard.Load(); heard != l.seen || heard%2 == 1 {
		l.seen, l.silent = heard, 0
		return false
	}
	l.silent++
	return l.silent >= silentPulses
}
