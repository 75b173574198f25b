package server

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/davyxu/cellmesh_demo/util/certfile"
	"github.com/davyxu/cellmesh_demo/util/certfile/certtest"
	"github.com/davyxu/cellmesh_demo/util/discovery"
	"github.com/davyxu/cellmesh_demo/util/discovery/contract"
)

// TestContractTLS is the whole contract once more, through TLS and with a secret, as a cluster of many machines has it.
func TestContractTLS(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	cert, key := certtest.Files(t, t.TempDir(), 1)
	server, err := certfile.Server(cert, key, log)
	if err != nil {
		t.Fatal(err)
	}
	client, err := certfile.Client(cert, "127.0.0.1", log)
	if err != nil {
		t.Fatal(err)
	}
	contract.Run(t, func(t *testing.T) contract.Open {
		s := start(t, "", Options{TLS: server, Secret: "s", Log: log})
		return func() discovery.Registry {
			return discovery.Dial(context.Background(), s.addr, discovery.Options{TLS: client, Secret: "s"})
		}
	})
}

func TestTLS(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	cert, key := certtest.Files(t, t.TempDir(), 1)
	other, _ := certtest.Files(t, t.TempDir(), 2)
	config, err := certfile.Server(cert, key, log)
	if err != nil {
		t.Fatal(err)
	}
	trust := func(file string) *tls.Config {
		c, err := certfile.Client(file, "127.0.0.1", log)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	s, plain := start(t, "", Options{TLS: config, Secret: "s", Log: log}), start(t, "", Options{Secret: "s", Log: log})
	good := dial(t, s.addr, discovery.Options{TLS: trust(cert), Secret: "s"})
	if err := discovery.Set(within(t), good, "k", strings.Repeat("v", discovery.MaxValue)); err != nil {
		t.Fatal(err)
	}
	lease := register(t, good, "game", -1)
	if err := lease.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, addr string
		tls        *tls.Config
		secret     string
		says       string
		refused    bool // told so at once
	}{
		{"plain client", s.addr, nil, "s", "it hung up at once: does it want TLS (then start this process with -sdca)", false},
		{"client that trusts another", s.addr, trust(other), "s", "not what -sdca trusts", true},
		{"client that trusts those the system does", s.addr, &tls.Config{}, "s", "certificate", true},
		{"TLS client of a plain memsd", plain.addr, trust(cert), "s", "start it with -sdcert", false},
		{"client without the secret", s.addr, trust(cert), "wrong", "secret", true},
	} {
		client := dial(t, c.addr, discovery.Options{TLS: c.tls, Secret: c.secret})
		var down error
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			if down = client.Connected(); down != nil && strings.Contains(down.Error(), c.says) {
				break
			}
		}
		if down == nil || !strings.Contains(down.Error(), c.says) || errors.Is(down, discovery.ErrRefused) != c.refused || errors.Is(down, discovery.ErrHungUp) == c.refused {
			t.Errorf("%s: %v; want %q, refused %v, else hung up", c.name, down, c.says, c.refused)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		err := discovery.Set(ctx, client, "k", "stolen")
		cancel()
		if err == nil || client.Snapshot().Revision() != 0 {
			t.Errorf("%s gets through", c.name)
		}
	}
}
