package chat

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/agent/agentapi"
	"github.com/davyxu/cellmesh_demo/svc/social/store"
)

// How private lines that have waited are handed over.
const (
	loginWindow = 10 * time.Second       // a player who is said not to be online may be coming, and have been looked for before the line was stored
	lookEvery   = 500 * time.Millisecond // meanwhile
	lookRetry   = 2 * time.Second        // after a failure
	claimFor    = 20 * time.Second       // lines are one social's to hand over: should it die, they are another's then
	claimSpare  = 6 * time.Second        // an agent may take so long, so this must be left of it
	lookAtOnce  = 16                     // players
	catchUpFor  = 2 * time.Second        // what is said waits so long at most for what was said before
	catchUpLook = 5 * time.Millisecond
	maxLooks    = 100_000
)

// inbox is for whom private lines may wait. They are looked for when a player
// comes, by the social that has it; and by the social that has stored one, for
// some time, because a player may come just then.
type inbox struct {
	wake    chan struct{} // holds one
	last    chan struct{} // closed: the rest is another social's
	over    chan struct{} // closed when that is settled
	dropped atomic.Int64  // players of more than may be looked after

	mu    sync.Mutex
	looks map[string]look // by uid
}

// look is when to look for a player's lines, and until when to look again.
type look struct {
	at, until time.Time
	busy      bool // somebody looks now; at is when to look again, if that was asked for meanwhile
}

func (b *inbox) init() {
	b.wake, b.last, b.over = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	b.looks = map[string]look{}
}

// look asks to look for a player's lines at this time, and again for a while.
func (b *inbox) look(uid string, at time.Time, again time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l, is := b.looks[uid]
	if !is && len(b.looks) >= maxLooks {
		b.dropped.Add(1)
		return
	}
	if l.at.IsZero() || at.Before(l.at) {
		l.at = at
	}
	if until := at.Add(again); until.After(l.until) {
		l.until = until
	}
	b.looks[uid] = l
	b.signal()
}

func (b *inbox) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// due are those to look for now; each is followed by done. next is when there
// will be more.
func (b *inbox) due(now time.Time) (due []string, next time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for uid, l := range b.looks {
		switch {
		case l.busy:
		case !l.at.After(now):
			due = append(due, uid)
			l.at, l.busy = time.Time{}, true
			b.looks[uid] = l
		case next.IsZero() || l.at.Before(next):
			next = l.at
		}
	}
	return due, next
}

// rest are those who may be coming while lines are stored for them here, and whom
// nobody looks after: whoever gets their client may have looked before.
func (b *inbox) rest(now time.Time) (uids []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for uid, l := range b.looks {
		if !l.busy && l.until.After(now) {
			uids = append(uids, uid)
		}
	}
	return uids
}

// finish returns when nothing is handed over any more. Once, after the last line
// was stored here.
func (b *inbox) finish(ctx context.Context) {
	close(b.last)
	select {
	case <-b.over:
	case <-ctx.Done():
	}
}

// done ends a look. again is when to look again; the zero time leaves it to what
// was asked for.
func (b *inbox) done(uid string, now, again time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.looks[uid]
	l.busy = false
	if again.IsZero() && now.Add(lookEvery).Before(l.until) {
		again = now.Add(lookEvery)
	}
	if l.at.IsZero() || !again.IsZero() && again.Before(l.at) {
		l.at = again
	}
	if l.at.IsZero() {
		delete(b.looks, uid)
		return
	}
	b.looks[uid] = l
	b.signal()
}

// pending reports whether a player's lines are looked for, or will be soon.
func (b *inbox) pending(uid string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, is := b.looks[uid]
	return is
}

// handOver hands over private lines, as long as the process runs.
func (s *Social) handOver(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var all errgroup.Group
	all.SetLimit(lookAtOnce)
	defer close(s.inbox.over)
	defer all.Wait()
	for {
		select {
		case <-s.inbox.wake:
		case <-timer.C:
		case <-s.inbox.last:
			for _, uid := range s.inbox.rest(time.Now()) {
				all.Go(func() error { s.handOverTo(ctx, uid); return nil })
			}
			return nil
		case <-ctx.Done():
			return nil
		}
		due, next := s.inbox.due(time.Now())
		for _, uid := range due {
			all.Go(func() error {
				again := s.handOverTo(ctx, uid)
				s.inbox.done(uid, time.Now(), again)
				return nil
			})
		}
		if !next.IsZero() {
			timer.Reset(time.Until(next))
		}
	}
}

// catchUp waits until what was stored for a player a moment ago has been handed
// over, so that what is said now does not come before it.
func (s *Social) catchUp(ctx context.Context, uid string) {
	for end := time.Now().Add(catchUpFor); s.inbox.pending(uid) && time.Now().Before(end); {
		if s.handOverTo(ctx, uid).IsZero() {
			return
		}
		select {
		case <-time.After(catchUpLook):
		case <-ctx.Done():
			return
		}
	}
}

// handOverTo hands over what waits for a player who is online. again is when to
// try again; the zero time says that nothing is left to do.
func (s *Social) handOverTo(ctx context.Context, uid string) (again time.Time) {
	u, online := s.clients.Online(uid)
	if !online {
		return time.Time{} // its next login brings us here
	}
	now := time.Now()
	at, waits, err := s.store.Waiting(ctx, uid, now)
	switch {
	case err != nil:
		return s.later(ctx, uid, err)
	case !waits:
		return time.Time{}
	case at.After(now): // somebody is at it, who may give up
		if soon := now.Add(lookEvery); soon.Before(at) {
			return soon
		}
		return at
	}
	claim, until := rand.Text(), now.Add(claimFor)
	all, err := s.store.Claim(ctx, uid, claim, now, until)
	if err != nil {
		return s.later(ctx, uid, err)
	}
	for len(all) > 0 {
		if time.Until(until) < claimSpare {
			s.unclaim(ctx, uid, claim)
			return time.Now()
		}
		m, n := missed(u, all)
		delivered, err := s.clients.Deliver(ctx, uid, m)
		if errors.Is(err, agentapi.ErrNotLinked) { // they have not left
			s.unclaim(ctx, uid, claim)
		}
		if err != nil { // the claim runs out, should they not have arrived
			return s.later(ctx, uid, err)
		}
		if !delivered {
			s.unclaim(ctx, uid, claim)
			return time.Time{}
		}
		for s.store.Delivered(ctx, uid, claim, all[n-1].ID) != nil { // to leave it undone would hand them over twice
			select {
			case <-time.After(lookRetry):
			case <-ctx.Done():
				return time.Time{}
			}
		}
		all = all[n:]
	}
	return time.Now() // more may have come
}

// later tells the operator what has failed, and is when to try again.
func (s *Social) later(ctx context.Context, uid string, err error) time.Time {
	if ctx.Err() == nil {
		s.failed("private lines that wait are not handed over yet", agentapi.Identity{UID: uid}, err)
	}
	return time.Now().Add(lookRetry)
}

func (s *Social) unclaim(ctx context.Context, uid, claim string) {
	if err := s.store.Unclaim(ctx, uid, claim); err != nil {
		s.later(ctx, uid, err) // the claim runs out
	}
}

// missed is the first n of private lines that have waited, as many as one message
// holds.
func missed(u agentapi.User, all []store.Line) (m pb.Message, n int) {
	if u.Features&lines == 0 {
		return forOne(u, all[0]), 1
	}
	ack := &pb.LineACK{Missed: true}
	for size := 0; n < len(all); n++ {
		line := said(all[n])
		line.To = u.UID
		if size += proto.Size(line) + 4; size > maxBytes && n > 0 {
			break
		}
		ack.Lines = append(ack.Lines, line)
	}
	return ack, n
}
