package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/davyxu/cellmesh_demo/svc/game/growth"
	"github.com/davyxu/cellmesh_demo/util/sqldb"
)

// hasty is a store that does not rest.
func hasty(db *sqldb.DB) *SQL { return &SQL{db: db} }

// renameAt has the player of h renamed to its request's ID at a time.
func renameAt(t testing.TB, h *Holding, id string, at time.Time) Entry {
	t.Helper()
	e, err := h.Change(context.Background(), id, "renamed", at, fresh, func(p growth.Player) (growth.Player, error) { return growth.Rename(p, id) })
	if err != nil {
		t.Error(err)
	}
	return e
}

// What is old goes, but for each player's newest line; what is left adds up, and
// answers its requests as before.
func TestTrim(t *testing.T) {
	databases(t, func(t *testing.T, open func(testing.TB) *sqldb.DB) {
		db := open(t)
		s := hasty(db)
		now := noon.Add(365 * 24 * time.Hour)
		ago := func(d time.Duration) time.Time { return now.Add(-d) }
		hold := func(uid string) *Holding { return Hold(s, Owner{uid, 1, "x"}) }
		const keep = 48 * time.Hour
		busy, calm, jumpy := hold("busy"), hold("calm"), hold("jumpy")
		renameAt(t, busy, "old", ago(keep+time.Hour))
		many(t, db, "busy", trimRead+2*trimWrite, ago(keep+time.Hour))
		busy.Forget()
		young := map[string]Entry{}
		for i := range 5 {
			young[fmt.Sprint("new", i)] = renameAt(t, busy, fmt.Sprint("new", i), ago(keep-time.Minute))
			renameAt(t, calm, fmt.Sprint("old", i), ago(keep+time.Hour))
		}
		renameAt(t, jumpy, "old", ago(100*keep))
		renameAt(t, jumpy, "clock ahead", ago(-keep))
		renameAt(t, jumpy, "older", ago(50*keep))
		renameAt(t, jumpy, "newest", ago(49*keep))

		removed, err := s.Trim(t.Context(), now, keep)
		if want := 2 + trimRead + 2*trimWrite + 5 + 2; err != nil || removed != want {
			t.Errorf("%d lines were removed, want %d, %v", removed, want, err)
		}
		for uid, left := range map[string]int{"busy": 5, "calm": 1, "jumpy": 3} {
			if got := len(whole(t, s, uid)); got != left {
				t.Errorf("%s has %d lines left, want %d", uid, got, left)
			}
		}
		busy.Forget()
		for id, first := range young {
			if again := renameAt(t, busy, id, now); again != first {
				t.Errorf("%s is answered with %+v, the first time with %+v", id, again, first)
			}
		}
		renameAt(t, calm, "more", now)
		if got := len(whole(t, s, "calm")); got != 2 {
			t.Errorf("%d lines", got)
		}
		// One game of all does it, now and then; a clock that was put back does not end that.
		other := hasty(open(t))
		for _, c := range []struct {
			after, keep time.Duration
			removed     int
		}{
			{time.Minute, time.Hour, 0},
			{-2 * TrimEvery, keep, 0}, // back, where nothing is old enough
			{time.Minute, time.Hour, 4 + 1},
		} {
			if n, err := other.Trim(t.Context(), now.Add(c.after), c.keep); err != nil || n != c.removed {
				t.Errorf("after %v: %d lines were removed, want %d, %v", c.after, n, c.removed, err)
			}
		}
		for _, uid := range []string{"busy", "calm"} {
			if got := len(whole(t, s, uid)); got != 1 {
				t.Errorf("%s has %d lines left", uid, got)
			}
		}
	})
}

// many adds lines to a ledger at once, by which nothing changed.
func many(t *testing.T, db *sqldb.DB, uid string, count int, at time.Time) {
	t.Helper()
	p, all, err := NewSQL(db).Look(t.Context(), uid, 1)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Write(t.Context(), func(ctx context.Context, tx sqldb.Tx) error {
		e := all[0]
		e.Before, e.At = e.After, at
		for i := range count {
			e.Revision, e.RequestID = p.Revision+int64(i)+1, fmt.Sprint("many", i)
			if _, err := record(ctx, tx, e); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, "UPDATE players SET revision = $1 WHERE uid = $2", e.Revision, uid)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// While players change and repeat requests, and games take them from each other,
// two games trim: every ledger is whole at any moment, and no request that is
// young is done twice.
func TestTrimWhilePlaying(t *testing.T) {
	databases(t, func(t *testing.T, open func(testing.TB) *sqldb.DB) {
		const keep, changes = 20 * time.Second, 100
		var clocks [2]atomic.Int64 // of the players: seconds, one for each change
		at := func(seconds int64) time.Time { return noon.Add(time.Duration(seconds) * time.Second) }
		now := func() time.Time { return at(min(clocks[0].Load(), clocks[1].Load())) }
		ctx, stop := context.WithCancel(context.Background())
		defer stop()
		var games, others sync.WaitGroup
		uids := []string{"p0", "p1"}
		stores := []*SQL{hasty(open(t)), hasty(open(t))}
		for i, uid := range uids {
			s := stores[i]
			games.Go(func() {
				var epoch uint64
				var h *Holding
				first := map[string]Entry{}
				var ids []string
				for n := range changes {
					if n%20 == 0 {
						epoch++
						h = Hold(s, Owner{uid, epoch, fmt.Sprint(i, n)})
					}
					clocks[i].Store(int64(n))
					id := fmt.Sprint("r", n)
					first[id] = renameAt(t, h, id, at(int64(n)))
					ids = append(ids, id)
					again := ids[len(ids)-1-rand.IntN(min(len(ids), 10))]
					if e := renameAt(t, h, again, at(int64(n))); e != first[again] {
						t.Errorf("%s of %s: %+v, the first time %+v", again, uid, e, first[again])
					}
				}
			})
		}
		var removed atomic.Int64
		for _, s := range stores {
			others.Go(func() {
				for ctx.Err() == nil {
					n, err := s.trim(ctx, now().Add(-keep))
					if removed.Add(int64(n)); err != nil && !errors.Is(err, context.Canceled) {
						t.Error(err)
					}
					for _, uid := range uids {
						whole(t, s, uid)
					}
				}
			})
		}
		games.Wait()
		stop()
		others.Wait()
		t.Logf("%d lines were removed meanwhile", removed.Load())
		if _, err := stores[0].trim(context.Background(), now().Add(-keep)); err != nil {
			t.Error(err)
		}
		for _, uid := range uids {
			all := whole(t, stores[0], uid)
			if newest := all[0]; newest.Revision != changes+1 || newest.RequestID != fmt.Sprint("r", changes-1) {
				t.Errorf("%s: the newest change is %+v", uid, newest)
			}
			if oldest := all[len(all)-1]; oldest.At.Before(now().Add(-keep)) {
				t.Errorf("%s: the oldest change left is %+v", uid, oldest)
			}
		}
	})
}

// whole checks that what is left of a player's ledger has no gap and comes to what
// the player has, and returns it, the newest first.
func whole(t testing.TB, s Store, uid string) []Entry {
	t.Helper()
	p, all, err := s.Look(context.Background(), uid, 1<<20)
	switch {
	case errors.Is(err, ErrUnknown): // not yet there
		return nil
	case err != nil || len(all) == 0:
		t.Errorf("%s: %d lines, %v", uid, len(all), err)
		return nil
	}
	if all[0].Revision != p.Revision || all[0].After != stateOf(p.Player) {
		t.Errorf("%s has %+v at revision %d, the newest change is %+v", uid, stateOf(p.Player), p.Revision, all[0])
	}
	for i, e := range all[:len(all)-1] {
		if before := all[i+1]; e.Revision != before.Revision+1 || e.Before != before.After {
			t.Errorf("%s: %+v follows %+v", uid, e, before)
		}
	}
	return all
}
