package basefx

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/davyxu/cellmesh_demo/util/cellnet"
)

// ClientPort has the flags of a program with a port for clients (login, agent)
// and serves it.
type ClientPort struct {
	MaxConns   int
	MaxPerAddr int
	TLSCert    string
	TLSKey     string
}

// Register adds the flags to fs.
func (p *ClientPort) Register(fs *flag.FlagSet) {
	fs.IntVar(&p.MaxConns, "maxconns", 100_000, "most client connections at a time")
	fs.IntVar(&p.MaxPerAddr, "maxperaddr", 50_000, "most client connections from one address at a time; 0 for no limit")
	fs.StringVar(&p.TLSCert, "tlscert", "", "certificate file (PEM): clients must then use TLS, for TCP and WebSocket; read again when it changes")
	fs.StringVar(&p.TLSKey, "tlskey", "", "key file (PEM) of -tlscert")
}

// ServeClients listens for clients under -listen, announces the address, and
// serves a on it with p's limits until the process has drained. For Start only.
func (a *App) ServeClients(p *ClientPort, acceptor *cellnet.Acceptor) error {
	switch {
	case p.MaxConns < 1:
		return fmt.Errorf("-maxconns=%d: must be at least 1", p.MaxConns)
	case p.MaxPerAddr < 0:
		return fmt.Errorf("-maxperaddr=%d: must not be negative", p.MaxPerAddr)
	case (p.TLSCert == "") != (p.TLSKey == ""):
		return errors.New("-tlscert and -tlskey go together")
	}
	if p.TLSCert != "" {
		cert, err := loadCert(p.TLSCert, p.TLSKey, a.Logger("tls"))
		if err != nil {
			return err
		}
		acceptor.TLS = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: cert.get}
	}
	l, err := a.ListenClients()
	if err != nil {
		return err
	}
	acceptor.MaxConns, acceptor.MaxPerAddr = p.MaxConns, p.MaxPerAddr
	rejected := a.CounterBy("client_connections_rejected_total", "Client connections closed before their session opened, by reason.", "reason")
	log := a.Logger("clients")
	acceptor.Rejected = func(remote net.Addr, reason error) {
		rejected(cellnet.ReasonLabel(reason))
		log.Debug("connection rejected", "remote", remote, "reason", reason)
	}
	a.SessionMetrics("client", acceptor.Config.Counters)
	a.Go("clients", func(ctx context.Context) error { return acceptor.Serve(ctx, l) })
	return nil
}

// CounterBy registers a counter with one label and returns what counts: call
// it with the label's value. The values must be few.
func (a *App) CounterBy(name, help, label string) func(value string) {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "cellmesh", Name: name, Help: help}, []string{label})
	a.metrics.MustRegister(c)
	return func(value string) { c.WithLabelValues(value).Inc() }
}

// certFile is a certificate that is read again when its files change.
type certFile struct {
	cert, key string
	log       *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	seen    stamp // of the files when they were last read
	looked  time.Time
}

// stamp tells whether the two files have changed. A newer certificate may well
// be in an older file.
type stamp struct {
	cert, key         time.Time
	certSize, keySize int64
}

// lookAgain is how often the files are looked at, at most.
const lookAgain = time.Second

func loadCert(cert, key string, log *slog.Logger) (*certFile, error) {
	c := &certFile{cert: cert, key: key, log: log}
	seen, err := c.stamp()
	if err == nil {
		c.current, err = c.read()
	}
	if err != nil {
		return nil, err
	}
	c.seen, c.looked = seen, time.Now()
	return c, nil
}

// get gives the certificate for a handshake. Files that cannot be read leave
// the old one in force, and are told once for each change.
func (c *certFile) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) < lookAgain {
		return c.current, nil
	}
	c.looked = time.Now()
	seen, err := c.stamp() // before reading: what changes while we read is read again
	if seen == c.seen {
		return c.current, nil
	}
	c.seen = seen
	var next *tls.Certificate
	if err == nil {
		next, err = c.read()
	}
	if err != nil {
		c.log.Error("certificate not read again, the old one stays in force", "err", err)
		return c.current, nil
	}
	c.current = next
	c.log.Info("certificate read again", "file", c.cert)
	return c.current, nil
}

// stamp is the zero stamp with an error.
func (c *certFile) stamp() (stamp, error) {
	cert, err := os.Stat(c.cert)
	if err != nil {
		return stamp{}, fmt.Errorf("certificate: %w", err)
	}
	key, err := os.Stat(c.key)
	if err != nil {
		return stamp{}, fmt.Errorf("key of the certificate: %w", err)
	}
	return stamp{cert.ModTime(), key.ModTime(), cert.Size(), key.Size()}, nil
}

func (c *certFile) read() (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", c.cert, c.key, err)
	}
	return &pair, nil
}
