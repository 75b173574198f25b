package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/davyxu/cellmesh_demo/svc/game/growth"
	"github.com/davyxu/cellmesh_demo/util/sqldb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// databases are all kinds of databases; open opens the same one each time, for
// another process.
func databases(t *testing.T, test func(t *testing.T, open func(testing.TB) *sqldb.DB)) {
	t.Run("sqlite", func(t *testing.T) {
		source := "sqlite:" + filepath.Join(t.TempDir(), "players.db")
		test(t, func(t testing.TB) *sqldb.DB { return opened(t, source) })
	})
}

func opened(t testing.TB, source string) *sqldb.DB {
	t.Helper()
	db, err := sqldb.Open(source, sqldb.Options{}, Tables())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := db.Prepare(context.Background()); err != nil {
		t.Fatal(err)
	}
	return db
}

var (
	noon   = time.UnixMilli(1_700_000_000_000)
	prices = &growth.Tables{Start: 100, Prices: []int64{60, 60, 60}, Income: []int64{3600, 3600, 3600, 3600}, Hours: 1}
	fresh  = prices.New("alice", noon)
)

func owner(epoch uint64, load string) Owner { return Owner{"alice", epoch, load} }

func upgrade(p growth.Player) (growth.Player, error) { return prices.Upgrade(p, noon) }

func (h *Holding) upgrade(t testing.TB, id string) (Entry, error) {
	t.Helper()
	return h.Change(t.Context(), id, "upgraded", noon, fresh, upgrade)
}

func (h *Holding) rename(t testing.TB, id string) (Entry, error) {
	t.Helper()
	return h.Change(t.Context(), id, "renamed", noon, fresh, func(p growth.Player) (growth.Player, error) { return growth.Rename(p, id) })
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// A player is made once, changed, found again by another process, and its ledger
// tells everything.
func TestLife(t *testing.T) {
	databases(t, func(t *testing.T, open func(testing.TB) *sqldb.DB) {
		s := NewSQL(open(t))
		if _, _, err := s.Look(t.Context(), "alice", 1); !errors.Is(err, ErrUnknown) {
			t.Error(err)
		}
		h := Hold(s, owner(1, "a"))
		e := must(h.upgrade(t, "one"))(t)
		if e.Revision != 2 || e.Before.Money != 100 || e.After.Money != 40 || e.After.Level != 2 {
			t.Errorf("%+v", e)
		}
		other := NewSQL(open(t))
		got := must(Hold(other, owner(2, "b")).Get(t.Context(), growth.Player{}, noon))(t)
		if want := (growth.Player{Name: "alice", Level: 2, Money: 40, Since: fresh.Since}); got.Player != want || got.Revision != 2 {
			t.Errorf("%+v", got)
		}
		_, all, err := other.Look(t.Context(), "alice", 10)
		if err != nil || len(all) != 2 || all[0].What != "upgraded" || !all[0].At.Equal(noon) || all[0].RequestID != "one" || all[1].What != Created {
			t.Errorf("%+v, %v", all, err)
		}
		if _, one, _ := other.Look(t.Context(), "alice", 1); len(one) != 1 || one[0] != all[0] {
			t.Errorf("%+v", one)
		}
		audit(t, s, "alice")
	})
}

// Two games believe that they have the player: the database lets only the last
// to load it write, whatever the others try.
func TestFencing(t *testing.T) {
	databases(t, func(t *testing.T, open func(testing.TB) *sqldb.DB) {
		a, b := NewSQL(open(t)), NewSQL(open(t))
		first, second := Hold(a, owner(1, "a")), Hold(b, owner(2, "b"))
		get := func(h *Holding) error { _, err := h.Get(t.Context(), fresh, noon); return err }
		if err := errors.Join(get(first), get(second)); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := first.rename(t, "stolen"); !errors.Is(err, ErrNotOwner) {
				t.Errorf("an older login writes: %v", err)
			}
		}
		if err := get(Hold(a, owner(1, "again"))); !errors.Is(err, ErrNotOwner) {
			t.Errorf("an older login loads: %v", err)
		}
		must(second.rename(t, "mine"))(t)
		// The same login at two games, as after an agent has given up one of them.
		moved := Hold(a, owner(2, "moved"))
		must(moved.rename(t, "moved"))(t)
		if _, err := second.rename(t, "late"); !errors.Is(err, ErrNotOwner) {
			t.Errorf("the game it was moved from writes: %v", err)
		}
		second = Hold(b, owner(2, "b"))
		second.owned = true // it reloads after a panic
		if err := get(second); !errors.Is(err, ErrNotOwner) {
			t.Errorf("the game it was moved from loads: %v", err)
		}
		// Nothing but the row itself decides: by hand, with all that a memory may say.
		p, all, err := a.Look(t.Context(), "alice", 10)
		if err != nil {
			t.Fatal(err)
		}
		e := Entry{Revision: p.Revision + 1, RequestID: "x", Before: stateOf(p.Player), After: stateOf(p.Player)}
		for name, o := range map[string]Owner{"epoch": owner(1, "moved"), "load": owner(2, "b"), "uid": {"bob", 2, "moved"}} {
			if err := a.Apply(t.Context(), o, e, p.Data); !errors.Is(err, ErrNotOwner) {
				t.Errorf("another %s: %v", name, err)
			}
			if err := a.Note(t.Context(), o, "x", p.Revision, p.Data); !errors.Is(err, ErrNotOwner) {
				t.Errorf("another %s: %v", name, err)
			}
		}
		e.Revision--
		if err := a.Apply(t.Context(), owner(2, "moved"), e, p.Data); !errors.Is(err, ErrStale) {
			t.Errorf("an old revision: %v", err)
		}
		if after, more, _ := a.Look(t.Context(), "alice", 10); len(more) != len(all) || after.Revision != p.Revision {
			t.Errorf("something was written: %+v", more)
		}
		audit(t, a, "alice")
	})
}

// A request that comes again is answered as the first time, whoever gets it, and
// changes nothing; also one that was refused, and would succeed by now.
func TestAgain(t *testing.T) {
	databases(t, func(t *testing.T, open func(testing.TB) *sqldb.DB) {
		s := NewSQL(open(t))
		h := Hold(s, owner(1, "a"))
		first := must(h.upgrade(t, "one"))(t)
		_, no := h.upgrade(t, "poor")
		if no == nil || no.Error() != "needs 60 gold, you have 40" {
			t.Fatal(no)
		}
		claim := func(h *Holding, id string) (Entry, error) {
			return h.Change(t.Context(), id, "claimed", noon, fresh, func(p growth.Player) (growth.Player, error) {
				return prices.Claim(p, noon.Add(time.Hour))
			})
		}
		for _, h := range []*Holding{h, Hold(NewSQL(open(t)), owner(2, "b"))} {
			claim(h, fmt.Sprint("claim", h.owner.Epoch)) // the second finds nothing earned
			for range 2 {
				if e, err := h.upgrade(t, "one"); err != nil || e != first {
					t.Errorf("%+v, %v, the first time %+v", e, err, first)
				}
				if _, err := h.upgrade(t, "poor"); err == nil || err.Error() != no.Error() {
					t.Errorf("%v, the first time %v", err, no)
				}
				for _, id := range []string{"one", "poor", "", "#created", strings.Repeat("x", 65), "\xff", "a\x00"} {
					if _, err := claim(h, id); !errors.Is(err, ErrRequestID) {
						t.Errorf("claim with request ID %q: %v", id, err)
					}
				}
			}
		}
		p, all, err := s.Look(t.Context(), "alice", 10)
		if err != nil || p.Level != 2 || len(all) != 3 { // created, one, claim1
			t.Errorf("%+v, %+v, %v", p, all, err)
		}
		// Few refusals are kept.
		h = Hold(s, owner(3, "c"))
		for i := range 3 * maxRefused {
			_, err := h.Change(t.Context(), fmt.Sprint("no", i), "renamed", noon, fresh, func(p growth.Player) (growth.Player, error) { return growth.Rename(p, "") })
			if err == nil {
				t.Fatal("renamed")
			}
		}
		if p, _, _ := s.Look(t.Context(), "alice", 0); len(p.Refused) != maxRefused || p.Refused[maxRefused-1].RequestID != fmt.Sprint("no", 3*maxRefused-1) {
			t.Errorf("%d refusals are kept", len(p.Refused))
		}
		audit(t, s, "alice")
	})
}

// A row that cannot be understood is refused and left as it is; one of a newer
// program keeps what is not known here.
func TestRows(t *testing.T) {
	databases(t, func(t *testing.T, open func(testing.TB) *sqldb.DB) {
		db := open(t)
		s := NewSQL(db)
		must(Hold(s, owner(1, "a")).upgrade(t, "one"))(t)
		write := func(text string) {
			t.Helper()
			err := db.Write(t.Context(), func(ctx context.Context, tx sqldb.Tx) error {
				_, err := tx.ExecContext(ctx, "UPDATE players SET data = $1", text)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		row := func() (text, owner string) {
			t.Helper()
			err := db.Read(t.Context(), func(ctx context.Context, tx sqldb.Tx) error {
				return tx.QueryRowContext(ctx, "SELECT data, owner FROM players").Scan(&text, &owner)
			})
			if err != nil {
				t.Fatal(err)
			}
			return text, owner
		}
		const good = `"v":1,"name":"alice","level":2,"money":140,"since":1700000000000`
		for text, why := range map[string]string{
			"": "unexpected end", "{": "unexpected end", "null": "v is missing", "[]": "cannot unmarshal", "{" + good + "}x": "invalid character",
			`{"v":2}`: "of version 2, known here is 1", `{"v":1,"name":"a","money":1,"since":1}`: "level is missing",
			`{` + good + `,"money":-1}`: "money -1", `{` + good + `,"level":0}`: "level 0", `{` + good + `,"money":1.5}`: "money: ",
			`{` + good + `,"money":99999999999999999999}`: "money: ", `{` + good + `,"refused":7}`: "refused: ", `{` + good + `,"unclaimed":-1}`: "unclaimed income -1",
		} {
			write(text)
			for _, h := range []*Holding{Hold(s, owner(9, "b")), {store: s, owner: owner(1, "a"), owned: true}} {
				for range 2 {
					_, err := h.upgrade(t, "never")
					if !errors.Is(err, ErrBroken) || !strings.Contains(err.Error(), `"alice"`) || !strings.Contains(err.Error(), why) {
						t.Errorf("%s: %v", text, err)
					}
				}
			}
			if got, owner := row(); got != text || owner != "a" {
				t.Errorf("%s was overwritten: %s, owner %s", text, got, owner)
			}
		}
		// Written before there was "unclaimed", by a program of now, and by one to come.
		write(`{` + good + `,"pets":[{"kind":"cat"}],"age":7}`)
		h := Hold(s, owner(9, "b"))
		must(h.upgrade(t, "two"))(t)
		if got, _ := row(); !strings.Contains(got, `"pets":[{"kind":"cat"}]`) || !strings.Contains(got, `"age":7`) || !strings.Contains(got, `"level":3`) {
			t.Errorf("row %s", got)
		}
		h.Forget()
		if p := must(h.Get(t.Context(), fresh, noon))(t); p.Level != 3 || p.Money != 80 || len(p.rest) != 2 {
			t.Errorf("%+v", p)
		}
	})
}

// audit checks that the ledger of a player is whole, and adds up to what the
// player has.
func audit(t testing.TB, s Store, uid string) (p Player, byRequest map[string]Entry) {
	t.Helper()
	p, all, err := s.Look(context.Background(), uid, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	byRequest = map[string]Entry{}
	last := State{}
	for i := range all {
		e := all[len(all)-1-i]
		if e.Revision != int64(i+1) || e.Before != last {
			t.Errorf("%s: change %d, after %+v: %+v", uid, i+1, last, e)
		}
		if _, twice := byRequest[e.RequestID]; twice {
			t.Errorf("%s: %q was done twice", uid, e.RequestID)
		}
		last, byRequest[e.RequestID] = e.After, e
	}
	if have := stateOf(p.Player); have != last || p.Revision != int64(len(all)) {
		t.Errorf("%s has %+v at revision %d, the ledger %+v after %d changes", uid, have, p.Revision, last, len(all))
	}
	return p, byRequest
}
