// Package server is memsd: it keeps the services and values of a cluster, and tells everybody what changes.
//
// One goroutine (core.go) owns the state and does one group of requests after the other: apply to the state, make
// durable, tell the watchers, answer. While a group waits for the disk the next one gathers, so that many writers
// share one wait. Each connection (session.go) has a goroutine of its own that reads, checks and hands over requests,
// and serves the pages of the state (pages.go) beside the core.
//
// Open server.go first, then core.go, requests.go and tell.go.
package server

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/davyxu/cellmesh_demo/svc/memsd/datafile"
	"github.com/davyxu/cellmesh_demo/util/cellnet"
	"github.com/davyxu/cellmesh_demo/util/discovery/store"
	"github.com/davyxu/cellmesh_demo/util/discovery/wire"
	"github.com/davyxu/cellmesh_demo/util/rarely"
)

// Options of a Server. The zero value serves the loopback interface and forgets its values when it ends.
type Options struct {
	File    string       // data file; empty: none
	Secret  string       // the cluster secret that clients must prove; without one only loopback is served
	TLS     *tls.Config  // not nil: required of clients
	Log     *slog.Logger // nil: nothing is logged
	Version string       // shown by status

	MaxClients int           // connections at a time; 0 = 10000
	MaxPending int           // bytes that may wait for one client; who is further behind is cut, comes back and catches up; 0 = 32 MiB
	Grace      time.Duration // how long services stay after their connection broke, so that it can be made anew; 0 = 3 s
	Settle     time.Duration // how long after the start services of an earlier life may come back; 0 = 4 s
}

// helloTimeout is how long a new connection may take to say and prove who it is.
const helloTimeout = 5 * time.Second

// Server is one memsd.
type Server struct {
	opts     Options
	core     *core
	feed     *store.Feed
	pages    pages
	net      cellnet.Config
	counters cellnet.Counters
	stats    Stats
	refused  *rarely.Log // of what strangers cause
	history  string      // of this life
	data     string      // the lineage of the values
	started  time.Time
	file     *datafile.File

	hadServices bool   // when the data file was last used, services were registered: they may be alive and on their way
	address     string // set by Serve
}

// New opens the data file. The caller must Close the server.
func New(o Options) (*Server, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	setDefault(&o.MaxClients, 10000)
	setDefault(&o.MaxPending, 32<<20)
	setDefault(&o.Grace, 3*time.Second)
	setDefault(&o.Settle, 4*time.Second)
	s := &Server{opts: o, history: rand.Text(), data: rand.Text(), started: time.Now(), refused: rarely.New()}
	snap := store.NewSnapshot(1, 1, nil, nil)
	if o.File != "" {
		file, stored, err := datafile.Open(o.File, o.Log)
		if err != nil {
			return nil, err
		}
		s.file, s.hadServices, s.data, snap = file, file.HadServices(), file.Lineage(), stored
	}
	s.feed = store.NewFeed(snap)
	s.net = cellnet.Config{Framing: cellnet.LinkFraming, MaxFrame: wire.MaxFrame, MaxPending: o.MaxPending, Counters: &s.counters}
	s.core = newCore(s, snap)
	return s, nil
}

func setDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// Serve serves l until ctx is done, and closes it. It must be called once.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	if addr, ok := l.Addr().(*net.TCPAddr); ok && !addr.IP.IsLoopback() && s.opts.Secret == "" {
		_ = l.Close()
		return fmt.Errorf("%s can be reached from other machines: set -secret, the same for all processes of the cluster, or listen on 127.0.0.1", addr)
	}
	s.address = l.Addr().String()
	if s.file != nil {
		if err := s.file.SetOwner(fmt.Sprintf("the memsd at %s, process %d", s.address, os.Getpid())); err != nil {
			s.opts.Log.Warn("cannot write who has the data file", "reason", err)
		}
	}
	// Sessions end before the core does: what they have asked for is done or refused, never forgotten.
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var runs sync.WaitGroup
	runs.Go(func() { s.core.run(running) })
	a := cellnet.Acceptor{
		Config: &s.net, TLS: s.opts.TLS, MaxConns: s.opts.MaxClients, HandshakeTimeout: helloTimeout,
		Open: func(conn *cellnet.Session) (cellnet.Handler, error) { return newSession(s, conn) },
		Rejected: func(remote net.Addr, reason error) {
			if unsaid, ok := s.refused.Say(); ok {
				s.opts.Log.Warn("connection refused", "remote", remote, "reason", reason, "unsaid", unsaid)
			}
		},
	}
	err := a.Serve(ctx, l)
	stop()
	runs.Wait()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return err
}

// Close closes the data file, after Serve has returned or if it was never called.
func (s *Server) Close() error {
	s.feed.Close()
	if s.file == nil {
		return nil
	}
	return s.file.Close(s.feed.Snapshot())
}

// Counters of the network, for metrics.
func (s *Server) Counters() *cellnet.Counters { return &s.counters }

// Snapshot is the state as clients see it.
func (s *Server) Snapshot() *store.Snapshot { return s.feed.Snapshot() }
