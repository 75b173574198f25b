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

// flaky is a store of which the caller often does not learn what became of a
// write: it was not made, or was made and nobody said so.
type flaky struct {
	Store
	mu sync.Mutex
	r  *rand.Rand
}

func (s *flaky) fails() (before, after error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.r.IntN(8) {
	case 0:
		before = sqldb.ErrUnavailable
	case 1:
		after = fmt.Errorf("%w: %w", sqldb.ErrUnavailable, sqldb.ErrInDoubt)
	}
	return before, after
}

func (s *flaky) Load(ctx context.Context, o Owner, fresh growth.Player, at time.Time) (Player, error) {
	before, after := s.fails()
	if before != nil {
		return Player{}, before
	}
	p, err := s.Store.Load(ctx, o, fresh, at)
	return p, errors.Join(err, after)
}

func (s *flaky) Apply(ctx context.Context, o Owner, e Entry, d Data) error {
	before, after := s.fails()
	if before != nil {
		return before
	}
	return errors.Join(s.Store.Apply(ctx, o, e, d), after)
}

func (s *flaky) Note(ctx context.Context, o Owner, id string, revision int64, d Data) error {
	before, after := s.fails()
	if before != nil {
		return before
	}
	return errors.Join(s.Store.Note(ctx, o, id, revision, d), after)
}

// Several games do whatever they like to the same players at once, over a store
// that fails at any point; they crash, load again, take each other's players, and
// repeat requests. What was acknowledged is there, once, and the ledger adds up.
func TestAnyInterleaving(t *testing.T) {
	databases(t, func(t *testing.T, open func(testing.TB) *sqldb.DB) {
		tables := &growth.Tables{Start: 50, Hours: 1000 / 2}
		for i := range 300 {
			tables.Income = append(tables.Income, int64(1000*i))
			tables.Prices = append(tables.Prices, int64(10+i))
		}
		tables.Prices = tables.Prices[1:]
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		uids := []string{"p0", "p1", "p2"}
		var epoch, number atomic.Uint64
		var mu sync.Mutex
		asked := []string{} // uid what id
		acked := map[string]Entry{}
		refused := map[string]string{}
		game := func(s Store, r *rand.Rand) {
			held := map[string]*Holding{}
			for range 300 {
				uid := uids[r.IntN(len(uids))]
				h := held[uid]
				if h == nil || h.lost || r.IntN(20) == 0 { // comes in, by a new login or the same
					e := epoch.Load()
					if r.IntN(2) == 0 {
						e = epoch.Add(1)
					}
					h = Hold(s, Owner{uid, e, fmt.Sprint("load", number.Add(1))})
					held[uid] = h
				}
				if r.IntN(20) == 0 {
					h.Forget()
				}
				what, id := []string{"upgraded", "claimed", "renamed"}[r.IntN(3)], fmt.Sprint("r", number.Add(1))
				key := uid + " " + what + " " + id
				mu.Lock()
				if len(asked) > 0 && r.IntN(3) == 0 { // again, often of late
					key = asked[max(0, len(asked)-1-r.IntN(12))]
					fmt.Sscan(key, &uid, &what, &id)
				} else {
					asked = append(asked, key)
				}
				mu.Unlock()
				if h = held[uid]; h == nil {
					continue
				}
				now := noon.Add(time.Duration(r.Int64N(int64(48 * time.Hour))))
				e, err := h.Change(context.Background(), id, what, now, tables.New(uid, noon), func(p growth.Player) (growth.Player, error) {
					switch what {
					case "upgraded":
						return tables.Upgrade(p, now)
					case "claimed":
						return tables.Claim(p, now)
					}
					return growth.Rename(p, fmt.Sprint("name", r.IntN(100)))
				})
				mu.Lock()
				var no *growth.Refusal
				first, was := acked[key]
				switch {
				case err == nil:
					if was && e != first {
						t.Errorf("%s: %+v, the first time %+v", key, e, first)
					}
					if text, was := refused[key]; was {
						t.Errorf("%s was refused before: %s", key, text)
					}
					acked[key] = e
				case errors.As(err, &no):
					if was {
						t.Errorf("%s is refused, and was done before: %v", key, no)
					}
					refused[key] = no.Text
				case !errors.Is(err, ErrNotOwner) && !errors.Is(err, sqldb.ErrUnavailable):
					t.Errorf("%s: %v", key, err)
				}
				mu.Unlock()
			}
		}
		var wg sync.WaitGroup
		for i := range uint64(4) {
			s := &flaky{Store: NewSQL(open(t)), r: rand.New(rand.NewPCG(seed, i))}
			wg.Go(func() { game(s, rand.New(rand.NewPCG(seed, 100+i))) })
		}
		wg.Wait()
		s := NewSQL(open(t))
		found := map[string]Entry{}
		for _, uid := range uids {
			_, entries := audit(t, s, uid)
			for id, e := range entries {
				found[uid+" "+e.What+" "+id] = e
			}
		}
		for key, e := range acked {
			if found[key] != e {
				t.Errorf("%s was acknowledged as %+v, and is %+v", key, e, found[key])
			}
		}
		for key := range refused {
			if e, done := found[key]; done {
				t.Errorf("%s was refused, and is done: %+v", key, e)
			}
		}
		t.Logf("%d requests, %d done, %d refused, %d changes", len(asked), len(acked), len(refused), len(found))
		if len(acked) < 50 {
			t.Error("hardly anything was done")
		}
	})
}
