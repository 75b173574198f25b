package server

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/davyxu/cellmesh_demo/util/discovery"
	"github.com/davyxu/cellmesh_demo/util/discovery/contract"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// running is a memsd in this process, on a real socket.
type running struct {
	*Server
	t    *testing.T
	addr string
	stop func()
}

// start begins a memsd on addr (empty: any port), which ends with the test or by stop.
func start(t *testing.T, addr string, o Options) *running {
	t.Helper()
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()
	stopped := false
	r := &running{Server: s, t: t, addr: l.Addr().String()}
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
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
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestContract(t *testing.T) {
	contract.Run(t, func(t *testing.T) contract.Open {
		s := start(t, "", Options{File: filepath.Join(t.TempDir(), "persist.json"), Log: slog.New(slog.DiscardHandler)})
		return func() discovery.Registry { return discovery.Dial(context.Background(), s.addr, discovery.Options{}) }
	})
}
