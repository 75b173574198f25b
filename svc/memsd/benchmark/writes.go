package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/davyxu/cellmesh_demo/util/discovery"
	"github.com/davyxu/cellmesh_demo/util/figures"
)

// put writes one value durably.
type put func(ctx context.Context, key, value string) error

// measureWrites measures durable writes a second, of memsd and, if it is there, of etcd, in turns: from one writer, from
// 64 with a connection each, as 64 processes have them, and from 64 that share one connection.
func measureWrites(ctx context.Context, o options, tmp string, r *figures.Table) error {
	for i, c := range []struct {
		what           string
		writers, conns int
	}{{"1 writer", 1, 1}, {"64 writers", 64, 64}, {"64 writers on one connection", 64, 1}} {
		ours, err := measureMemsd(ctx, o, filepath.Join(tmp, fmt.Sprint("memsd", i)), c.writers, c.conns)
		if err != nil {
			return err
		}
		r.Add("memsd, "+c.what, "writes/s", ours.rate)
		r.Add("memsd, "+c.what+", CPU of it and its clients", "µs a write", ours.cpu)
		if o.etcd == "" {
			continue
		}
		theirs, err := measureEtcd(ctx, o, filepath.Join(tmp, fmt.Sprint("etcd", i)), c.writers, c.conns)
		if err != nil {
			return err
		}
		r.Add("etcd, "+c.what, "writes/s", theirs.rate)
		r.Add("etcd, "+c.what+", CPU of it and its clients", "µs a write", theirs.cpu)
		m := r.Add("memsd / etcd, "+c.what, "times", ours.rate/theirs.rate)
		if c.writers > 1 {
			m.AtLeast(3)
		}
	}
	return nil
}

func measureMemsd(ctx context.Context, o options, dir string, writers, conns int) (writing, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return writing{}, err
	}
	p, err := startMemsd(o, dir, "127.0.0.1:0")
	if err != nil {
		return writing{}, err
	}
	defer p.kill()
	clients := make([]*discovery.Client, conns)
	for i := range clients {
		clients[i] = discovery.Dial(ctx, p.addr, discovery.Options{WriteOnly: true})
		defer clients[i].Close()
	}
	puts := make([]put, writers)
	for i := range puts {
		puts[i] = func(ctx context.Context, key, value string) error {
			_, err := clients[i%conns].Apply(ctx, discovery.SetOp(key, value))
			return err
		}
	}
	return measure(ctx, o.duration, puts, p.cpu)
}

// writing is how writing went.
type writing struct {
	rate float64 // writes a second
	cpu  float64 // µs of all processes together for a write; 0 if the system does not tell
}

// measure has all writers write as fast as they can, one write after the other each. cpu is that of the server.
func measure(ctx context.Context, duration time.Duration, puts []put, cpu func() time.Duration) (writing, error) {
	value := strings.Repeat("v", 90)
	var counting, over atomic.Bool
	var count atomic.Int64
	var group errgroup.Group
	for i, put := range puts {
		group.Go(func() error {
			for n := 0; !over.Load(); n++ {
				// Keys come again, as configuration does; values do not.
				if err := put(ctx, fmt.Sprintf("bench/%02d/%03d", i, n%100), fmt.Sprintf("%s%010d", value, n)); err != nil {
					return err
				}
				if counting.Load() {
					count.Add(1)
				}
			}
			return nil
		})
	}
	time.Sleep(500 * time.Millisecond) // warm up
	counting.Store(true)
	began, used := time.Now(), cpu()+cpuOf("self")
	time.Sleep(duration)
	n, took := float64(count.Load()), time.Since(began)
	used = cpu() + cpuOf("self") - used
	over.Store(true)
	return writing{rate: n / took.Seconds(), cpu: float64(used.Microseconds()) / max(n, 1)}, group.Wait()
}
