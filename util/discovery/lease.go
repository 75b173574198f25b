package discovery

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"

	"github.com/davyxu/cellmesh_demo/util/discovery/wire"
)

// clientLease is what one process wants to be registered as. Wanting (mu) and telling memsd (turn) are apart, so that a
// change is wanted at once and told when it can be.
type clientLease struct {
	c     *Client
	owner string
	turn  chan struct{} // holds one token; who has it may talk to memsd about this lease
	lost  chan error

	adopted bool // guarded by Client.mu: it has been registered

	mu      sync.Mutex
	wanted  Service
	version uint64 // of wanted
	told    uint64 // the version that memsd has confirmed ...
	toldTo  *link  // ... over this connection
	over    bool
	reason  error // why it is over, if not by Close
}

// Register is as Registry has it. A memsd that dies meanwhile is waited for, too.
func (c *Client) Register(ctx context.Context, s Service) (Lease, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	s = s.Clone()
	s.ID, s.Epoch = "", 0
	for {
		l := &clientLease{c: c, owner: rand.Text(), turn: make(chan struct{}, 1), lost: make(chan error, 1), wanted: s, version: 1}
		l.turn <- struct{}{}
		c.mu.Lock()
		c.leases[l.owner] = l // so that it can be lost from the first moment on
		c.mu.Unlock()
		err := l.register(ctx)
		if err == nil {
			return l, nil
		}
		l.finish(nil)
		if s.Index < 0 && errors.Is(err, ErrReplaced) {
			continue // the answer came so late that the index is somebody else's by now: any other will do
		}
		return nil, fmt.Errorf("register %s: %w", s.Name, err)
	}
}

func (l *clientLease) register(ctx context.Context) error {
	for {
		up, err := l.c.waitUp(ctx)
		if err != nil {
			return err
		}
		revision, err := l.push(ctx, up)
		switch {
		case err == nil && l.adopt(up):
			l.c.reach(ctx, revision)
			return nil
		case err == nil: // there is another connection by now
		case ctx.Err() != nil:
			_, _ = up.send(wire.Request{Do: wire.DoLeave, Owner: l.owner}, nil) // in case it was or will be done
			return l.c.explain(err)
		case up.alive():
			return err // memsd says no
		}
	}
}

// adopt has l registered again from now on whenever there is a new connection. It fails when there is one already:
// whoever made that did not know of l.
func (l *clientLease) adopt(over *link) bool {
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	l.adopted = l.c.up == over
	return l.adopted
}

// push tells memsd over up what is wanted, if it does not know. It returns when memsd has confirmed that, with the
// revision at which it is so (0: long ago).
func (l *clientLease) push(ctx context.Context, up *link) (revision uint64, err error) {
	select {
	case <-l.turn:
		defer func() { l.turn <- struct{}{} }()
	case <-ctx.Done():
		return 0, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	case <-up.done:
		return 0, fmt.Errorf("%w: %w", ErrUnavailable, up.reason)
	}
	l.mu.Lock()
	wanted, version, over, reason := l.wanted.Clone(), l.version, l.over, l.reason
	known := l.told == version && l.toldTo == up
	l.mu.Unlock()
	switch {
	case over && reason != nil:
		return 0, reason
	case over:
		return 0, ErrClosed
	case known:
		return 0, nil
	}
	m, err := up.call(ctx, wire.Request{Do: wire.DoRegister, Owner: l.owner, Service: &wanted})
	if errors.Is(err, ErrReplaced) {
		l.c.lose(l.owner, err)
	}
	if err == nil && m.Service == nil {
		err = fmt.Errorf("%w: registration was answered without a service", wire.ErrBadMessage)
	}
	if err != nil {
		return 0, err
	}
	l.mu.Lock()
	l.told, l.toldTo = version, up
	l.wanted.ID, l.wanted.Index, l.wanted.Epoch = m.Service.ID, m.Service.Index, m.Service.Epoch
	over = l.over
	l.mu.Unlock()
	if over { // closed meanwhile, by somebody who saw no connection
		_, _ = up.send(wire.Request{Do: wire.DoLeave, Owner: l.owner}, nil)
	}
	return m.Revision, nil
}

// Service implements Lease.
func (l *clientLease) Service() Service {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.wanted.Clone()
}

// Update implements Lease.
func (l *clientLease) Update(ctx context.Context, change func(*Service)) error {
	if err := l.want(change); err != nil {
		return err
	}
	for {
		up, err := l.c.waitUp(ctx)
		if err != nil {
			return fmt.Errorf("update %s: %w", l.Service().ID, err)
		}
		revision, err := l.push(ctx, up)
		if err == nil {
			l.c.reach(ctx, revision)
			return nil
		}
		if ctx.Err() != nil {
			select {
			case up.again <- struct{}{}: // it is still wanted
			default:
			}
		}
		if ctx.Err() != nil || up.alive() {
			return l.c.explain(err)
		}
	}
}

func (l *clientLease) want(change func(*Service)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.reason != nil:
		return l.reason
	case l.over:
		return ErrClosed
	}
	next := changed(l.wanted, change)
	if err := next.Check(); err != nil {
		return err
	}
	if !next.Equal(l.wanted) {
		l.wanted = next
		l.version++
	}
	return nil
}

// Close implements Lease.
func (l *clientLease) Close(ctx context.Context) error {
	l.finish(nil) // from now on nobody begins to push
	l.c.mu.Lock()
	up := l.c.up
	l.c.mu.Unlock()
	if up == nil {
		return nil // nobody to tell; memsd removes it by itself
	}
	select {
	case <-l.turn: // a push that is under way goes first
		defer func() { l.turn <- struct{}{} }()
	case <-ctx.Done():
		return fmt.Errorf("leave %s: %w", l.Service().ID, ctx.Err())
	}
	m, err := up.call(ctx, wire.Request{Do: wire.DoLeave, Owner: l.owner})
	if err != nil {
		if ctx.Err() == nil && !up.alive() {
			return nil
		}
		return fmt.Errorf("leave %s: %w", l.Service().ID, err)
	}
	l.c.reach(ctx, m.Revision)
	return nil
}

// Lost implements Lease.
func (l *clientLease) Lost() <-chan error { return l.lost }

// finish ends the lease on this side.
func (l *clientLease) finish(reason error) {
	l.c.mu.Lock()
	delete(l.c.leases, l.owner)
	l.c.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return
	}
	l.over, l.reason = true, reason
	if reason != nil {
		l.lost <- reason
	}
	close(l.lost)
}

// lose ends the lease of this owner because another process has its ID.
func (c *Client) lose(owner string, reason error) {
	c.mu.Lock()
	l := c.leases[owner]
	c.mu.Unlock()
	if l == nil {
		return
	}
	if reason == nil {
		reason = ErrReplaced
	}
	c.opts.Log.Error("another process has taken this service's ID", "svc", l.Service().ID, "reason", reason)
	l.finish(reason)
}
