package loginapi

import (
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

// Logins that are counted together, some of the same uid, from two processes:
// each has an epoch of its own, none is left out, and the last one's token is
// the one that is good.
func TestRaiseTogether(t *testing.T) {
	const uids, rounds = 200, 5
	file := filepath.Join(t.TempDir(), "test.db")
	logins := []*Sessions{newSessions(t, file), newSessions(t, file)}
	var mu sync.Mutex
	got := map[string][]Grant{}
	var wg sync.WaitGroup
	for i := range uids * rounds {
		wg.Go(func() {
			g := raise(t, logins[i%len(logins)], fmt.Sprint("uid", i/rounds))
			mu.Lock()
			defer mu.Unlock()
			got[g.UID] = append(got[g.UID], g)
		})
	}
	wg.Wait()
	if n := logins[0].db.Stats().Writes + logins[1].db.Stats().Writes; n >= uids*rounds {
		t.Errorf("%d logins were written by %d writes", uids*rounds, n)
	}
	for uid, all := range got {
		slices.SortFunc(all, func(a, b Grant) int { return int(a.Epoch) - int(b.Epoch) })
		for i, g := range all {
			if g.Epoch != uint64(i+1) {
				t.Fatalf("%s: login %d has epoch %d", uid, i+1, g.Epoch)
			}
		}
		if len(all) != rounds {
			t.Fatalf("%s: %d logins", uid, len(all))
		}
		if err := logins[0].Redeem(t.Context(), all[rounds-1]); err != nil {
			t.Fatal(err)
		}
	}
}
