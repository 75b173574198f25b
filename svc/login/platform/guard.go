package platform

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/util/msgmux"
)

// Guard bounds what a platform can cost: so many checks at a time, so long for
// each. A platform that hangs holds up to that many goroutines, and nobody but
// its own clients.
type Guard struct {
	platform Platform
	slots    chan struct{}
	limit    time.Duration
	checking sync.WaitGroup

	// Counted since the beginning.
	Full   atomic.Int64 // checks refused because too many were under way
	Failed atomic.Int64 // checks that could not find out, or not in time
}

// NewGuard makes a guard that lets p check so many at a time, at least one, for
// at most limit each.
func NewGuard(p Platform, most int, limit time.Duration) *Guard {
	return &Guard{platform: p, slots: make(chan struct{}, max(most, 1)), limit: limit}
}

// Busy is how many checks are under way, those given up too.
func (g *Guard) Busy() int { return len(g.slots) }

// Check asks the platform. It returns when the time is over, whether the
// platform does or not. The error is one of msgmux.Refuse, or wraps ErrFailed
// or ctx's error.
func (g *Guard) Check(ctx context.Context, action pb.LoginREQ_Action, c Credential) (Identity, error) {
	if _, is := g.platform.(Immediate); is {
		who, err := g.ask(ctx, action, c)
		return who, g.judged(err)
	}
	select {
	case g.slots <- struct{}{}:
	default:
		g.Full.Add(1)
		return Identity{}, msgmux.Refuse(pb.ResultCode_ServerBusy, "too many are logging in with this platform at the moment: try again later")
	}
	ctx, cancel := context.WithTimeout(ctx, g.limit)
	type outcome struct {
		who Identity
		err error
	}
	done := make(chan outcome, 1)
	g.checking.Go(func() {
		defer cancel()
		defer func() { <-g.slots }()
		var o outcome
		o.who, o.err = g.ask(ctx, action, c)
		done <- o
	})
	select {
	case o := <-done:
		return o.who, g.judged(o.err)
	case <-ctx.Done():
		select {
		case o := <-done: // its answer is why ctx is done
			return o.who, g.judged(o.err)
		default:
		}
		return Identity{}, g.judged(ctx.Err())
	}
}

// ErrFailed is what Check's error wraps if the platform could not find out.
var ErrFailed = errors.New("the platform failed")

// judged counts and marks errors that are no refusal.
func (g *Guard) judged(err error) error {
	var no *msgmux.Refusal
	if err == nil || errors.As(err, &no) {
		return err
	}
	g.Failed.Add(1)
	return fmt.Errorf("%w: %w", ErrFailed, err)
}

func (g *Guard) ask(ctx context.Context, action pb.LoginREQ_Action, c Credential) (who Identity, err error) {
	defer msgmux.Recover(&err)
	who, err = Do(ctx, g.platform, action, c)
	if err == nil && (who.Subject == "" || len(who.Subject) > MaxSubject) {
		err = fmt.Errorf("a subject of %d bytes: 1 to %d are allowed", len(who.Subject), MaxSubject)
	}
	return who, err
}

// Wait waits until no check is under way. Nobody may call Check any more.
func (g *Guard) Wait() { g.checking.Wait() }
