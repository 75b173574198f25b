package basefx

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/davyxu/cellmesh_demo/util/cellnet"
	"github.com/davyxu/cellmesh_demo/util/certfile"
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
		var err error
		if acceptor.TLS, err = certfile.Server(p.TLSCert, p.TLSKey, a.Logger("tls")); err != nil {
			return err
		}
	}
	var options net.ListenConfig
	if acceptor.Config.Brief {
		options.KeepAlive = -1 // its system calls are a part of what such a connection costs
	}
	l, err := a.ListenClients(options)
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
