package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/davyxu/cellmesh_demo/util/discovery"
	"github.com/davyxu/cellmesh_demo/util/figures"
)

// gcEvery is how many rounds go without a garbage collection.
const gcEvery = 25

// measureCluster has many services and keys, and looks how soon everybody knows of a change.
func measureCluster(ctx context.Context, o options, tmp string, r *figures.Table) error {
	dir := filepath.Join(tmp, "cluster")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	p, err := startMemsd(o, dir, "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer func() { p.kill() }()
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(8 << 30)) // then it is on again
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	clients := make([]*discovery.Client, o.services)
	for i := range clients {
		clients[i] = discovery.Dial(ctx, p.addr, discovery.Options{Name: fmt.Sprint("benchmark ", i)})
		defer clients[i].Close()
	}
	if err := fill(ctx, clients[0], o.keys); err != nil {
		return err
	}
	if err := everybody(ctx, clients, has(0, o.keys)); err != nil {
		return err
	}
	runtime.GC()
	began := time.Now()
	leases := make([]discovery.Lease, len(clients))
	var all errgroup.Group
	for i, c := range clients {
		all.Go(func() (err error) {
			leases[i], err = c.Register(ctx, service("game"))
			return err
		})
	}
	if err := all.Wait(); err != nil {
		return err
	}
	if err := everybody(ctx, clients, has(o.services, o.keys)); err != nil {
		return err
	}
	r.Time("all register at once, seen by all", time.Since(began))

	var seen times
	for i := range o.rounds {
		if i%gcEvery == 0 {
			runtime.GC()
		}
		began := time.Now()
		l, err := clients[0].Register(ctx, service("newcomer"))
		if err != nil {
			return err
		}
		id := l.Service().ID
		if err := everybody(ctx, clients, func(s *discovery.Snapshot) bool { _, ok := s.Service(id); return ok }); err != nil {
			return err
		}
		seen = append(seen, time.Since(began))
		if err := l.Close(ctx); err != nil {
			return err
		}
		if err := everybody(ctx, clients, func(s *discovery.Snapshot) bool { _, ok := s.Service(id); return !ok }); err != nil {
			return err
		}
	}
	r.Time("a registration is seen by all, median", seen.at(0.5))
	r.Time("a registration is seen by all, p99", seen.at(0.99)).AtMost(100)

	var fresh times
	for i := range o.rounds {
		if i%gcEvery == 0 {
			runtime.GC()
		}
		began := time.Now()
		c := discovery.Dial(ctx, p.addr, discovery.Options{})
		_, err := c.Wait(ctx, 0)
		fresh = append(fresh, time.Since(began))
		_ = c.Close()
		if err != nil {
			return err
		}
	}
	r.Time("a fresh client has the whole state, median", fresh.at(0.5))
	r.Time("a fresh client has the whole state, p99", fresh.at(0.99)).AtMost(200)
	r.Add("memory of memsd", "MB", p.memory())
	before := p.cpu()
	time.Sleep(3 * time.Second)
	r.Add("CPU of memsd when nothing changes", "% of a core", 100*(p.cpu()-before).Seconds()/3)

	for _, c := range []struct {
		what  string
		empty bool
	}{{"all are back after kill -9", false}, {"all are back after kill -9, its files gone", true}} {
		runtime.GC()
		var took time.Duration
		if p, took, err = comeBack(ctx, o, p, dir, clients, leases, c.empty); err != nil {
			return err
		}
		r.Time(c.what, took).AtMost(3000)
	}
	return nil
}

// comeBack kills memsd and measures how long it takes until all services have registered again.
func comeBack(ctx context.Context, o options, p *process, dir string, clients []*discovery.Client, leases []discovery.Lease, empty bool) (*process, time.Duration, error) {
	p.kill()
	if empty {
		if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o755)); err != nil {
			return p, 0, err
		}
	}
	time.Sleep(3 * time.Second) // so that all are in the longest pause of their backoff
	next, err := startMemsd(o, dir, p.addr)
	if err != nil {
		return p, 0, err
	}
	began := time.Now()
	look := discovery.Dial(ctx, next.addr, discovery.Options{})
	defer look.Close()
	// look is new: it shows what memsd has, and nothing of before.
	for s := look.Snapshot(); !has(len(clients), 0)(s); {
		if s, err = look.Wait(ctx, s.Revision()); err != nil {
			return next, 0, err
		}
	}
	took := time.Since(began)
	for _, l := range leases {
		svc := l.Service()
		if got, ok := look.Snapshot().Service(svc.ID); !ok || got.Epoch != svc.Epoch {
			return next, 0, fmt.Errorf("%s came back as %+v", svc.ID, got)
		}
	}
	return next, took, everybody(ctx, clients, func(s *discovery.Snapshot) bool { return s.Revision() >= look.Snapshot().Revision() })
}

func service(name string) discovery.Service {
	return discovery.Service{Name: name, Group: "bench", Index: -1, Addr: "127.0.0.1:12345", State: discovery.Ready,
		Meta: map[string]string{"pid": "12345", "http": "127.0.0.1:23456"}}
}

// has says whether a state has as many services and at least as many values.
func has(services, values int) func(*discovery.Snapshot) bool {
	return func(s *discovery.Snapshot) bool {
		n, m := s.Len()
		return n >= services && m >= values
	}
}

// everybody waits until all clients have a state that ok accepts.
func everybody(ctx context.Context, clients []*discovery.Client, ok func(*discovery.Snapshot) bool) error {
	for _, c := range clients {
		for s := c.Snapshot(); !ok(s); {
			var err error
			if s, err = c.Wait(ctx, s.Revision()); err != nil {
				return err
			}
		}
	}
	return nil
}

// fill sets n keys.
func fill(ctx context.Context, r discovery.Registry, n int) error {
	value := strings.Repeat("x", 32)
	for done := 0; done < n; {
		var ops []discovery.Op
		for ; done < n && len(ops) < discovery.MaxOps; done++ {
			ops = append(ops, discovery.SetOp(fmt.Sprintf("config/%06d", done), value))
		}
		if _, err := r.Apply(ctx, ops...); err != nil {
			return err
		}
	}
	return nil
}
