package cellnet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"
)

// Acceptor serves listeners. Its fields must not be changed while it serves.
//
// With ClientFraming a client speaks first: its session opens when its first
// bytes are there and tell what it is. On links a session opens at once.
type Acceptor struct {
	// Config of all its sessions; nil means the zero Config.
	Config *Config

	// WebSocket also takes WebSocket clients (path /, any origin), on the same
	// port: their first bytes are "GET ". Only with ClientFraming.
	WebSocket bool

	// TLS, when set, is required of every client; a plain one is rejected with
	// ErrTLSRequired. When nil, a client that begins with a TLS ClientHello is
	// rejected with ErrTLSUnexpected.
	TLS *tls.Config

	// Inline tells that handlers never block, but for microseconds; one that must
	// wait now and then returns ErrBlocks where Session.MayBlock says no. On Linux
	// sessions, unless they are few, are then read by a few goroutines, each for many
	// and with one system call for a read; Frames of several sessions may come before
	// the Batch of each. Sessions with a read deadline have a goroutine nevertheless.
	// Not with Config.Brief.
	Inline bool

	// Open is called for every new session, from the session's goroutine. It
	// returns who handles the session, or an error that refuses it: what was
	// appended before is written, then the session is closed with that error.
	Open func(*Session) (Handler, error)

	// Rejected, when set, is told why a connection was closed before Open, and
	// with a nil remote why an accept failed. Calls come from many goroutines.
	Rejected func(remote net.Addr, reason error)

	// MaxConns bounds the connections of one listener in all, MaxPerAddr those
	// from one host (of IPv6: one /64). 0 means no bound.
	MaxConns, MaxPerAddr int

	// HandshakeTimeout bounds the time from accept to Open: first bytes, TLS,
	// WebSocket upgrade. 0 means 10 s.
	HandshakeTimeout time.Duration

	// Idle, when set, is asked many times a second how long a session may go without
	// a byte from its peer before it is closed with ErrIdle; 0 means forever.
	Idle func() time.Duration

	// Of tests; 0 means the usual.
	minDoze  time.Duration // see wake
	loopFrom int32         // see mayLoop
}

// Serve accepts connections from l until ctx is done (then it returns nil) or
// l is closed. Either way it closes l and all its sessions, whose reason is
// ctx's cause or the error of l, and returns when all of them have ended: after
// Config.Linger at the latest, handlers permitting.
func (a *Acceptor) Serve(ctx context.Context, l net.Listener) error {
	defer l.Close()
	switch {
	case a.WebSocket && a.config().Framing != ClientFraming:
		return errors.New("cellnet: serve: only ClientFraming travels over WebSocket")
	case a.Inline && a.config().Brief:
		return errors.New("cellnet: serve: Inline is for connections that stay, Brief for those that do not")
	}
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	v := newServer(a)
	err := v.acceptFrom(ctx, l)
	if ctx.Err() != nil {
		v.end(context.Cause(ctx))
		return nil
	}
	v.end(err)
	return fmt.Errorf("cellnet: serve %s: %w", l.Addr(), err)
}

// acceptFrom takes connections in until ctx is done or l is closed.
func (v *server) acceptFrom(ctx context.Context, l net.Listener) error {
	var pause time.Duration
	for {
		conn, err := l.Accept()
		if err == nil {
			pause = 0
			v.take(conn)
			continue
		}
		if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			return err
		}
		// Out of descriptors or the like: it may pass.
		v.tell(nil, err)
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
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
