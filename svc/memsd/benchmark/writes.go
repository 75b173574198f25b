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
)

// put writes one value durably.
type put func(ctx context.Context, key, value string) error

// measureWrites measures durable writes a second, of memsd and, if it is there, of etcd, in turns.
func measureWrites(ctx context.Context, o options, tmp string) error {
	fmt.Printf("\ndurable writes a second, values of 100 bytes, %v each; a connection for each writer\n", o.duration)
	fmt.Printf("%-10s %14s %14s\n", "writers", "memsd", "etcd")
	for _, writers := range []int{1, 64} {
		ours, err := measureMemsd(ctx, o, filepath.Join(tmp, fmt.Sprint("memsd", writers)), writers, false)
		if err != nil {
			return err
		}
		if o.etcd == "" {
			fmt.Printf("%-10d %14.0f %14s\n", writers, ours, "-")
			continue
		}
		theirs, err := measureEtcd(ctx, o, filepath.Join(tmp, fmt.Sprint("etcd", writers)), writers)
		if err != nil {
			return err
		}
		fmt.Printf("%-10d %14.0f %14.0f   %.1f times\n", writers, ours, theirs, ours/theirs)
	}
	following, err := measureMemsd(ctx, o, filepath.Join(tmp, "following"), 64, true)
	if err != nil {
		return err
	}
	fmt.Printf("%-10d %14.0f %14s   if each writer also keeps the whole state, as services do\n", 64, following, "-")
	return nil
}

func measureMemsd(ctx context.Context, o options, dir string, writers int, following bool) (float64, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return 0, err
	}
	p, err := startMemsd(o, dir, "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer p.kill()
	puts := make([]put, writers)
	for i := range puts {
		c := discovery.Dial(ctx, p.addr, discovery.Options{WriteOnly: !following})
		defer c.Close()
		puts[i] = func(ctx context.Context, key, value string) error {
			_, err := c.Apply(ctx, discovery.SetOp(key, value))
			return err
		}
	}
	return rate(ctx, o.duration, puts)
}

// rate has all writers write as fast as they can, one write after the other each.
func rate(ctx context.Context, duration time.Duration, puts []put) (float64, error) {
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
	began := time.Now()
	time.Sleep(duration)
	n, took := count.Load(), time.Since(began)
	over.Store(true)
	return float64(n) / took.Seconds(), group.Wait()
}
