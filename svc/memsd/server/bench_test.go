package server

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// BenchmarkWrites is a quick look at durable writes, server and clients in one process; svc/memsd/benchmark measures.
func BenchmarkWrites(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprint(writers), func(b *testing.B) {
			s, err := New(Options{File: filepath.Join(b.TempDir(), "persist.json"), Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				b.Fatal(err)
			}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			var serving sync.WaitGroup
			serving.Go(func() { _ = s.Serve(ctx, l) })
			value := strings.Repeat("v", 90)
			clients := make([]*discovery.Client, writers)
			for i := range clients {
				clients[i] = discovery.Dial(ctx, l.Addr().String(), discovery.Options{WriteOnly: true})
				if err := discovery.Set(ctx, clients[i], "warm", fmt.Sprint(i)); err != nil {
					b.Fatal(err)
				}
			}
			b.ResetTimer()
			var writing sync.WaitGroup
			for i, c := range clients {
				writing.Go(func() {
					for n := range b.N / writers {
						if err := discovery.Set(ctx, c, fmt.Sprintf("bench/%02d/%03d", i, n%100), fmt.Sprintf("%s%010d", value, n)); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			writing.Wait()
			b.StopTimer()
			b.ReportMetric(float64(s.Stats().Writes.Load())/float64(s.Stats().Commits.Load()), "writes/commit")
			for _, c := range clients {
				_ = c.Close()
			}
			cancel()
			serving.Wait()
			if err := s.Close(); err != nil {
				b.Error(err)
			}
		})
	}
}
