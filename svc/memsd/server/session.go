package server

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/davyxu/cellmesh_demo/util/cellnet"
	"github.com/davyxu/cellmesh_demo/util/discovery/store"
	"github.com/davyxu/cellmesh_demo/util/discovery/wire"
	"github.com/davyxu/cellmesh_demo/util/peerauth"
)

// errBye is the reason of a session whose client has gone for good.
var errBye = errors.New("client said goodbye")

// session is one client's connection.
type session struct {
	s    *Server
	conn *cellnet.Session

	// Owned by the connection's goroutine.
	hello   *wire.Hello
	nonce   []byte // ours
	entered bool   // hello is said and the secret proved
	ttl     time.Duration
	heard   time.Time // when the read deadline was last set
	reading reading   // the pages that the client is fetching

	minimum atomic.Uint64          // pages must be of this revision or newer
	name    atomic.Pointer[string] // of the client, for logs

	// Owned by the core.
	held  map[string]string // owner -> service ID
	wrote uint64            // the last group of writes that it was in; see gatherer
}

func newSession(s *Server, conn *cellnet.Session) (*session, error) {
	c := &session{s: s, conn: conn, held: make(map[string]string)}
	name := ""
	c.name.Store(&name)
	return c, conn.SetReadDeadline(time.Now().Add(helloTimeout))
}

// Frame implements cellnet.Handler.
func (c *session) Frame(b []byte) error {
	r, err := wire.ParseRequest(b)
	if err != nil {
		return err
	}
	if !c.entered {
		return c.enter(r)
	}
	if err := c.alive(); err != nil {
		return err
	}
	switch r.Do {
	case wire.DoPing:
		return c.send(wire.Reply{ID: r.ID})
	case wire.DoPage:
		return c.page(r)
	case wire.DoBye:
		return errBye
	case wire.DoHello, wire.DoProof:
		return fmt.Errorf("%w: %s again", wire.ErrBadMessage, r.Do)
	}
	if err := c.s.core.put(task{from: c, req: r}); err != nil {
		return err
	}
	return c.alive() // the core may have kept us waiting: that is not the client's silence
}

// alive gives the client another time-to-live.
func (c *session) alive() error {
	now := time.Now()
	if now.Sub(c.heard) <= c.ttl/8 {
		return nil
	}
	c.heard = now
	return c.conn.SetReadDeadline(now.Add(c.ttl))
}

// enter takes the first one or two requests of a connection.
func (c *session) enter(r wire.Request) error {
	secret := c.s.opts.Secret
	switch {
	case r.Do == wire.DoBye:
		return errBye
	case r.Do == wire.DoHello && c.hello == nil:
		h := r.Hello
		if h.Version != wire.Version {
			return c.refuse(r, fmt.Errorf("%w: this memsd speaks version %d of the protocol, the client version %d", store.ErrRefused, wire.Version, h.Version))
		}
		if len(h.Nonce) != peerauth.NonceSize || h.Revision > store.MaxRevision {
			return fmt.Errorf("%w: hello", wire.ErrBadMessage)
		}
		c.hello = h
		c.name.Store(&h.Name)
		c.ttl = min(max(time.Duration(min(h.TTL, 1<<40))*time.Millisecond, wire.MinTTL), wire.MaxTTL)
		welcome := wire.Reply{ID: r.ID, Welcome: &wire.Welcome{History: c.s.history, Data: c.s.data}}
		if secret == "" {
			return c.entering(r, welcome)
		}
		c.nonce = peerauth.NewNonce()
		welcome.Welcome.Nonce, welcome.Welcome.Secret = c.nonce, true
		return c.send(welcome)
	case r.Do == wire.DoProof && c.nonce != nil:
		if !peerauth.Verify(r.Proof, secret, wire.RoleClient, c.hello.Nonce, c.nonce) {
			return c.refuse(r, fmt.Errorf("%w: the client does not know memsd's cluster secret: start it with the same -secret", store.ErrRefused))
		}
		return c.entering(r, wire.Reply{ID: r.ID, Proof: peerauth.Proof(secret, wire.RoleServer, c.hello.Nonce, c.nonce)})
	}
	return c.refuse(r, fmt.Errorf("%w: %s before hello and proof", store.ErrRefused, r.Do))
}

func (c *session) entering(r wire.Request, welcome wire.Reply) error {
	c.entered = true
	if err := c.alive(); err != nil {
		return err
	}
	minimum := c.hello.Revision
	if c.hello.History != c.s.history && minimum > 0 {
		minimum++ // the core goes there; see enter in requests.go
	}
	c.minimum.Store(minimum)
	return c.s.core.put(task{from: c, req: r, welcome: &welcome, hello: c.hello})
}

// refuse answers with err and ends the connection.
func (c *session) refuse(r wire.Request, err error) error {
	_ = c.send(wire.Reply{ID: r.ID, Error: wire.NewError(err)})
	return err
}

func (c *session) send(m wire.Reply) error {
	b, err := wire.Append(nil, m)
	if err != nil {
		return err
	}
	return c.conn.Send(nil, b)
}

// Batch implements cellnet.Handler.
func (c *session) Batch() {}

// Closed implements cellnet.Handler.
func (c *session) Closed(reason error) {
	log := c.s.opts.Log
	switch {
	case errors.Is(reason, io.EOF), errors.Is(reason, errBye), errors.Is(reason, cellnet.ErrClosed):
		log.Debug("client gone", "client", *c.name.Load(), "remote", c.conn.RemoteAddr(), "reason", reason)
	case !c.entered:
		if unsaid, ok := c.s.refused.Say(); ok {
			log.Warn("client refused", "client", *c.name.Load(), "remote", c.conn.RemoteAddr(), "reason", reason, "unsaid", unsaid)
		}
	default:
		log.Warn("client lost", "client", *c.name.Load(), "remote", c.conn.RemoteAddr(), "reason", reason)
	}
	if c.entered {
		_ = c.s.core.put(task{from: c, gone: reason})
	}
}
