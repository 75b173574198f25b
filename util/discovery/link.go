package discovery

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/davyxu/cellmesh_demo/util/cellnet"
	"github.com/davyxu/cellmesh_demo/util/discovery/wire"
	"github.com/davyxu/cellmesh_demo/util/peerauth"
)

// errNotSent: the connection ended before the request left; it may go over the next one.
var errNotSent = errors.New("request was not sent")

// link is one connection of a client to memsd. It matches answers with requests by their IDs.
type link struct {
	c       *Client
	session *cellnet.Session
	ctx     context.Context // done when the connection has ended
	cancel  context.CancelFunc
	done    chan struct{} // closed when the connection has ended
	reason  error         // why; read it after done
	resync  chan struct{} // memsd says that pages are needed; holds at most one
	again   chan struct{} // a lease has something to tell that nobody waits for; holds at most one

	// Owned by the session's goroutine until done.
	heard    time.Time // when the read deadline was last set
	answered bool      // memsd has said anything

	mu      sync.Mutex
	lastID  uint64
	waiting map[uint64]chan wire.Reply
}

func newLink(c *Client, s *cellnet.Session) *link {
	l := &link{c: c, session: s, done: make(chan struct{}), resync: make(chan struct{}, 1), again: make(chan struct{}, 1), waiting: make(map[uint64]chan wire.Reply)}
	l.ctx, l.cancel = context.WithCancel(context.WithoutCancel(c.ctx))
	return l
}

func (l *link) alive() bool {
	select {
	case <-l.done:
		return false
	default:
		return l.session.Reason() == nil
	}
}

// Frame implements cellnet.Handler.
func (l *link) Frame(b []byte) error {
	l.answered = true
	if now := time.Now(); now.Sub(l.heard) > l.c.opts.TTL/8 {
		l.heard = now
		if err := l.session.SetReadDeadline(now.Add(l.c.opts.TTL)); err != nil {
			return err
		}
	}
	m, err := wire.ParseReply(b)
	if err != nil {
		return err
	}
	if m.ID == 0 {
		return l.c.pushed(l, m)
	}
	l.mu.Lock()
	answer := l.waiting[m.ID]
	delete(l.waiting, m.ID)
	l.mu.Unlock()
	if answer != nil {
		answer <- m
	}
	return nil
}

// Batch implements cellnet.Handler.
func (l *link) Batch() {}

// Closed implements cellnet.Handler.
func (l *link) Closed(reason error) {
	l.reason = reason
	l.cancel()
	close(l.done)
}

// send puts a request on the wire. answer may be nil: then nobody waits for it.
func (l *link) send(req wire.Request, answer chan wire.Reply) (id uint64, err error) {
	l.mu.Lock()
	l.lastID++
	req.ID = l.lastID
	if answer != nil {
		l.waiting[req.ID] = answer
	}
	l.mu.Unlock()
	b, err := wire.Append(nil, req)
	if err == nil {
		err = l.session.Send(nil, b)
	}
	if err != nil {
		l.forget(req.ID)
		return 0, fmt.Errorf("%w: %w", errNotSent, err)
	}
	return req.ID, nil
}

func (l *link) forget(id uint64) {
	l.mu.Lock()
	delete(l.waiting, id)
	l.mu.Unlock()
}

// call sends a request and waits for its answer. It fails with errNotSent, with ErrInDoubt when there is no answer, or
// with what memsd says.
func (l *link) call(ctx context.Context, req wire.Request) (wire.Reply, error) {
	answer := make(chan wire.Reply, 1)
	id, err := l.send(req, answer)
	if err != nil {
		return wire.Reply{}, err
	}
	select {
	case m := <-answer:
		return m, m.Error.Err()
	case <-ctx.Done():
		err = ctx.Err()
	case <-l.done:
		err = l.reason
	}
	l.forget(id)
	select {
	case m := <-answer: // it came in the same moment
		return m, m.Error.Err()
	default:
		return wire.Reply{}, fmt.Errorf("%w: %w", ErrInDoubt, err)
	}
}

// handshake says who we are and proves the secret, both ways.
func (l *link) handshake(ctx context.Context) (*wire.Welcome, error) {
	o := &l.c.opts
	nonce := peerauth.NewNonce()
	history, revision := l.c.replica.seen()
	m, err := l.call(ctx, wire.Request{Do: wire.DoHello, Hello: &wire.Hello{
		Version: wire.Version, Name: o.Name, Nonce: nonce, TTL: o.TTL.Milliseconds(),
		History: history, Revision: revision,
	}})
	if err != nil {
		return nil, err
	}
	w := m.Welcome
	switch {
	case w == nil:
		return nil, fmt.Errorf("%w: hello was not answered with a welcome", wire.ErrBadMessage)
	case !w.Secret && o.Secret == "":
		return w, nil
	case !w.Secret:
		return nil, fmt.Errorf("%w: this process has a cluster secret, memsd has none: start it with the same -secret", ErrRefused)
	case o.Secret == "":
		return nil, fmt.Errorf("%w: memsd wants the cluster secret: start this process with -secret", ErrRefused)
	case len(w.Nonce) != peerauth.NonceSize:
		return nil, fmt.Errorf("%w: nonce of %d bytes", wire.ErrBadMessage, len(w.Nonce))
	}
	m, err = l.call(ctx, wire.Request{Do: wire.DoProof, Proof: peerauth.Proof(o.Secret, wire.RoleClient, nonce, w.Nonce)})
	if err != nil {
		return nil, err
	}
	if !peerauth.Verify(m.Proof, o.Secret, wire.RoleServer, nonce, w.Nonce) {
		return nil, fmt.Errorf("%w: who answers for memsd does not know the cluster secret", ErrRefused)
	}
	return w, nil
}

// heartbeat lets memsd hear from us, and us from memsd.
func (l *link) heartbeat() {
	tick := time.NewTicker(l.c.opts.TTL / 3)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if _, err := l.send(wire.Request{Do: wire.DoPing}, nil); err != nil {
				return // the connection ends; its reason is told elsewhere
			}
		case <-l.done:
			return
		}
	}
}

// bye says goodbye and ends the connection; what was sent before is done before.
func (l *link) bye() {
	_, _ = l.send(wire.Request{Do: wire.DoBye}, nil)
	l.session.Close(ErrClosed)
}
