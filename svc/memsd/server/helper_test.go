package server

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/davyxu/cellmesh_demo/util/cellnet"
	"github.com/davyxu/cellmesh_demo/util/discovery"
	"github.com/davyxu/cellmesh_demo/util/discovery/wire"
	"github.com/davyxu/cellmesh_demo/util/peerauth"
)

// running is a memsd in this process.
type running struct {
	*Server
	addr string
	stop func() // as if the machine was switched off: nobody hears a goodbye from it
}

// start begins a memsd on a real socket at addr (empty: any port); it ends with the test or by stop.
func start(t *testing.T, addr string, o Options) *running {
	t.Helper()
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return startOn(t, l, o)
}

func startOn(t *testing.T, l net.Listener, o Options) *running {
	t.Helper()
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()
	r := &running{Server: s, addr: l.Addr().String()}
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

// dial returns a client that is closed with the test.
func dial(t *testing.T, addr string, o discovery.Options) *discovery.Client {
	t.Helper()
	c := discovery.Dial(context.Background(), addr, o)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// until waits for a snapshot that ok accepts.
func until(t *testing.T, r discovery.Registry, what string, ok func(*discovery.Snapshot) bool) *discovery.Snapshot {
	t.Helper()
	ctx := within(t)
	s := r.Snapshot()
	for !ok(s) {
		next, err := r.Wait(ctx, s.Revision())
		if err != nil {
			t.Fatalf("waiting until %s: %v", what, err)
		}
		s = next
	}
	return s
}

func has(id string) func(*discovery.Snapshot) bool {
	return func(s *discovery.Snapshot) bool { _, ok := s.Service(id); return ok }
}

func hasNot(id string) func(*discovery.Snapshot) bool {
	return func(s *discovery.Snapshot) bool { return !has(id)(s) }
}

func register(t *testing.T, c *discovery.Client, name string, index int) discovery.Lease {
	t.Helper()
	l, err := c.Register(within(t), discovery.Service{Name: name, Group: "dev", Index: index, State: discovery.Ready})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// raw is a client of the bare protocol, for what a good client does not do.
type raw struct {
	t       *testing.T
	s       *cellnet.Session
	replies chan wire.Reply // closed at the end of the connection
	reason  chan error
	id      uint64
}

func (r *raw) Frame(b []byte) error {
	m, err := wire.ParseReply(b)
	if err != nil {
		return err
	}
	r.replies <- m
	return nil
}
func (r *raw) Batch() {}
func (r *raw) Closed(reason error) {
	r.reason <- reason
	close(r.replies)
}

// rawDial connects without a word.
func rawDial(t *testing.T, addr string, cfg *cellnet.Config) *raw {
	t.Helper()
	cfg.Framing = cellnet.LinkFraming
	s, err := cellnet.Dial(within(t), "tcp://"+addr, cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := &raw{t: t, s: s, replies: make(chan wire.Reply, 1000), reason: make(chan error, 1)}
	var runs sync.WaitGroup
	runs.Go(func() { _ = s.Run(context.Background(), r) })
	t.Cleanup(func() {
		s.Abort(nil)
		runs.Wait()
	})
	return r
}

func (r *raw) send(m wire.Request) uint64 {
	r.t.Helper()
	r.id++
	m.ID = r.id
	b, err := wire.Append(nil, m)
	if err == nil {
		err = r.s.Send(nil, b)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return r.id
}

// ask sends a request and returns its answer, or not ok when the connection ends instead. Pushes are left out.
func (r *raw) ask(m wire.Request) (wire.Reply, bool) {
	r.t.Helper()
	id := r.send(m)
	for reply := range r.replies {
		if reply.ID == id {
			return reply, true
		}
	}
	return wire.Reply{}, false
}

func (r *raw) hello(ttl time.Duration) {
	r.t.Helper()
	m, ok := r.ask(wire.Request{Do: wire.DoHello, Hello: &wire.Hello{
		Version: wire.Version, Name: "raw", Nonce: peerauth.NewNonce(), TTL: ttl.Milliseconds()}})
	if !ok || m.Welcome == nil {
		r.t.Fatalf("hello was answered with %+v, %v", m, ok)
	}
}
