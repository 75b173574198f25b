package cellnet

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"time"
)

// Dial connects to rawURL: tcp://host:port, tls://host:port, ws://host:port/
// or wss://host:port/. The WebSocket schemes need ClientFraming. ctx bounds
// connecting and shaking hands, not the session.
func Dial(ctx context.Context, rawURL string, cfg *Config) (*Session, error) {
	if cfg == nil {
		cfg = &Config{}
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("cellnet: dial: %w", err)
	}
	secure := u.Scheme == "tls" || u.Scheme == "wss"
	web := u.Scheme == "ws" || u.Scheme == "wss"
	switch {
	case !secure && !web && u.Scheme != "tcp":
		return nil, fmt.Errorf("cellnet: dial %s: want tcp://, tls://, ws:// or wss://", rawURL)
	case web && cfg.Framing != ClientFraming:
		return nil, fmt.Errorf("cellnet: dial %s: only ClientFraming travels over WebSocket", rawURL)
	}
	addr := u.Host
	if u.Port() == "" && web {
		addr = net.JoinHostPort(u.Hostname(), map[bool]string{false: "80", true: "443"}[secure])
	}
	dial := cfg.DialContext
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	conn, err := dial(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("cellnet: dial %s: %w", rawURL, err)
	}
	s, err := greet(ctx, conn, u, secure, web, cfg)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("cellnet: dial %s: %w", rawURL, err)
	}
	return s, nil
}

// greet does the client's part of the handshakes on conn.
func greet(ctx context.Context, conn net.Conn, u *url.URL, secure, web bool, cfg *Config) (s *Session, err error) {
	if !secure && !web {
		return NewSession(conn, cfg), nil
	}
	// ctx ends a handshake by making its reads and writes fail.
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		conn.SetDeadline(time.Unix(1, 0))
	})
	defer func() {
		if !stop() {
			<-interrupted
			err = context.Cause(ctx)
		}
	}()
	if secure {
		c := cfg.TLS.Clone()
		if c == nil {
			c = &tls.Config{}
		}
		if c.ServerName == "" {
			c.ServerName = u.Hostname()
		}
		secured := tls.Client(conn, c)
		if err := secured.HandshakeContext(ctx); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrHandshake, err)
		}
		conn = secured
	}
	s = NewSession(conn, cfg)
	if web {
		return s, s.upgradeClient(ctx, u)
	}
	return s, nil
}
