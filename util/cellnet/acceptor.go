package cellnet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Acceptor serves listeners. Its fields are not to be changed once it serves.
type Acceptor struct {
	// Config of all its sessions; nil means the zero Config.
	Config *Config

	// WebSocket also takes WebSocket clients (path /, any origin), on the same
	// port: they are told from TCP clients by the first bytes, which therefore
	// have to come before a session opens. Only with ClientFraming.
	WebSocket bool

	// TLS, when set, is required of every client. When nil, a client that
	// begins with a TLS ClientHello is refused with ErrTLSUnexpected.
	TLS *tls.Config

	// Open is called for every new session, from a goroutine of its own. It
	// returns who handles the session, or an error that refuses it: frames
	// sent before are written, then it is closed with that error.
	Open func(*Session) (Handler, error)

	// Rejected, when set, is told of connections that were closed before
	// Open, with the reason, which may be one of this package's errors.
	Rejected func(remote net.Addr, reason error)

	// MaxConns bounds the connections of one listener in all, MaxPerAddr
	// those from one host. 0 means no bound.
	MaxConns, MaxPerAddr int

	// HandshakeTimeout bounds the time to the first bytes and through TLS and
	// WebSocket handshakes. 0 means 10 s.
	HandshakeTimeout time.Duration

	// Idle, when set, is asked every second how long a session may be without
	// a byte from its peer before it is closed with ErrIdle; 0 means forever.
	Idle func() time.Duration
}

// Serve accepts connections from l until ctx is done or l fails for good. It
// then closes all sessions, the reason being ctx's cause, and returns when all
// of them have ended: after Config.Linger at the latest, handlers permitting.
func (a *Acceptor) Serve(ctx context.Context, l net.Listener) error {
	if a.WebSocket && a.config().Framing != ClientFraming {
		return errors.New("cellnet: serve: only ClientFraming travels over WebSocket")
	}
	v := &server{a: a, cfg: a.config(), sessions: make(map[*Session]struct{}), perAddr: make(map[string]int)}
	return v.serve(ctx, l)
}

func (a *Acceptor) config() *Config {
	if a.Config == nil {
		return &Config{}
	}
	return a.Config
}

func (a *Acceptor) handshakeTimeout() time.Duration {
	if a.HandshakeTimeout > 0 {
		return a.HandshakeTimeout
	}
	return 10 * time.Second
}

// server is one Serve.
type server struct {
	a   *Acceptor
	cfg *Config
	all sync.WaitGroup // one for every connection

	mu       sync.Mutex
	reason   error // why the server ends; nil while it serves
	sessions map[*Session]struct{}
	perAddr  map[string]int
}

func (v *server) serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	var pause time.Duration
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
			pause = 0
			v.accept(conn)
			continue
		case ctx.Err() != nil:
			v.end(context.Cause(ctx))
			return nil
		case errors.Is(err, net.ErrClosed):
			v.end(err)
			return fmt.Errorf("cellnet: serve %s: %w", l.Addr(), err)
		}
		// Out of descriptors or the like: it may pass.
		v.rejected(l.Addr(), err)
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// end closes all sessions and waits for them.
func (v *server) end(reason error) {
	v.mu.Lock()
	v.reason = reason
	for s := range v.sessions {
		go s.Close(reason)
	}
	v.mu.Unlock()
	v.all.Wait()
}

// accept takes a connection in, or refuses it.
func (v *server) accept(conn net.Conn) {
	c := v.cfg.Counters
	if c != nil {
		c.Accepted.Add(1)
	}
	if err := v.admit(conn); err != nil {
		conn.Close()
		v.rejected(conn.RemoteAddr(), err)
		return
	}
	v.all.Add(1)
	go v.handle(conn)
}

func (v *server) admit(conn net.Conn) error {
	return nil
}

func (v *server) rejected(remote net.Addr, reason error) {
	if v.a.Rejected != nil {
		v.a.Rejected(remote, reason)
	}
}

// handle is a connection's goroutine.
func (v *server) handle(conn net.Conn) {
	defer v.all.Done()
	s, err := v.shake(conn)
	if err != nil {
		conn.Close()
		v.rejected(conn.RemoteAddr(), err)
		return
	}
	v.mu.Lock()
	reason := v.reason
	v.sessions[s] = struct{}{}
	v.mu.Unlock()
	if reason != nil {
		s.Close(reason)
	}
	h, err := v.a.Open(s)
	if err != nil {
		h = refused{}
		s.Close(err)
	}
	s.begin(h)
	s.read()
	s.finish()
	v.mu.Lock()
	delete(v.sessions, s)
	v.mu.Unlock()
}

// shake finds out what the client speaks and shakes hands.
func (v *server) shake(conn net.Conn) (*Session, error) {
	s := NewSession(conn, v.cfg)
	if !v.a.WebSocket {
		return s, nil
	}
	conn.SetDeadline(time.Now().Add(v.a.handshakeTimeout()))
	web, err := s.beginsWithGET()
	if err == nil && web {
		err = s.upgrade()
	}
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Time{})
	return s, nil
}

// beginsWithGET reports whether the first bytes are an HTTP request's. No
// client frame begins so: it would be message 8276 of 17735 bytes.
func (s *Session) beginsWithGET() (bool, error) {
	const get = "GET "
	for {
		if err := s.fill(); err != nil {
			return false, fmt.Errorf("%w: first bytes: %w", ErrHandshake, err)
		}
		n := min(len(s.in), len(get))
		if string(s.in[:n]) != get[:n] {
			return false, nil
		}
		if n == len(get) {
			return true, nil
		}
	}
}

// refused handles a session that Open refused: it is closing already.
type refused struct{}

func (refused) Frame([]byte) error { return nil }
func (refused) Batch()             {}
func (refused) Closed(error)       {}
