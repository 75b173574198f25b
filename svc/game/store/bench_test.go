package store

import (
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/davyxu/cellmesh_demo/svc/game/growth"
)

// BenchmarkChanges has 200 players change at once: each waits for its change to
// be on the disk before the next. Grouped is how it is done; ungrouped has one
// commit for each change, in the same database.
//
//	go test -run - -bench Changes ./svc/game/store
func BenchmarkChanges(b *testing.B) {
	const players = 200
	db := opened(b, "sqlite:"+filepath.Join(b.TempDir(), "players.db"))
	s := NewSQL(db)
	var number atomic.Int64
	rates := map[string]float64{}
	for _, name := range []string{"ungrouped", "grouped"} {
		b.Run(name, func(b *testing.B) {
			var one sync.Mutex
			held := make([]*Holding, players)
			for i := range held {
				uid := fmt.Sprint("p", i)
				held[i] = Hold(s, Owner{uid, uint64(number.Add(1)), "x"})
				if _, err := held[i].Get(b.Context(), prices.New(uid, noon), noon); err != nil {
					b.Fatal(err)
				}
			}
			var left atomic.Int64
			left.Store(int64(b.N))
			took := make([][]time.Duration, players)
			before := db.Stats().Commits
			b.ResetTimer()
			var wg sync.WaitGroup
			for i, h := range held {
				wg.Go(func() {
					for left.Add(-1) >= 0 {
						id := fmt.Sprint("r", number.Add(1))
						began := time.Now()
						if name == "ungrouped" {
							one.Lock()
						}
						_, err := h.Change(b.Context(), id, "renamed", noon, growth.Player{}, func(p growth.Player) (growth.Player, error) { return growth.Rename(p, id) })
						if name == "ungrouped" {
							one.Unlock()
						}
						if err != nil {
							b.Error(err)
							return
						}
						took[i] = append(took[i], time.Since(began))
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			all := slices.Sorted(slices.Values(slices.Concat(took...)))
			rates[name] = float64(b.N) / b.Elapsed().Seconds()
			b.ReportMetric(rates[name], "changes/s")
			b.ReportMetric(float64(all[(len(all)-1)*99/100].Microseconds())/1000, "p99-ms")
			b.ReportMetric(float64(b.N)/float64(db.Stats().Commits-before), "changes/commit")
			if name == "grouped" {
				b.ReportMetric(rates[name]/rates["ungrouped"], "times-ungrouped")
			}
		})
	}
}

// BenchmarkMemory is what the data of a player takes in memory.
func BenchmarkMemory(b *testing.B) {
	s := NewSQL(opened(b, "sqlite:"+filepath.Join(b.TempDir(), "players.db")))
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for b.Loop() {
		const n = 2000
		held := make([]*Holding, n)
		begin := heap()
		for i := range held {
			held[i] = Hold(s, Owner{fmt.Sprint("player", i), 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[:26]})
		}
		idle := heap()
		var wg sync.WaitGroup
		for w := range 50 {
			wg.Go(func() {
				for i := w; i < n; i += 50 {
					held[i].Get(b.Context(), prices.New(fmt.Sprint("player", i), noon), noon)
					held[i].Forget()
					held[i].Get(b.Context(), growth.Player{}, noon)
				}
			})
		}
		wg.Wait()
		loaded := heap()
		b.ReportMetric(float64(idle-begin)/n, "B/idle")
		b.ReportMetric(float64(loaded-begin)/n, "B/loaded")
		runtime.KeepAlive(held)
	}
}
