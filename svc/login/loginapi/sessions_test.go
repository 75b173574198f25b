package loginapi

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/davyxu/cellmesh_demo/util/sqldb"
)

// newSessions are those that a process has on the database file.
func newSessions(t testing.TB, file string) *Sessions {
	t.Helper()
	db, err := sqldb.Open("sqlite:"+file, sqldb.Options{}, SessionTables())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := db.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	return NewSessions(db)
}

// raise begins a login and returns what its token grants.
func raise(t testing.TB, s *Sessions, uid string) Grant {
	t.Helper()
	epoch, id, err := s.Raise(t.Context(), uid)
	if err != nil {
		t.Fatal(err)
	}
	return Grant{UID: uid, Epoch: epoch, ID: id, GameID: game, Expires: time.Now().Add(time.Minute)}
}

// A token opens one session, in one game, until the next login.
func TestSessions(t *testing.T) {
	file := filepath.Join(t.TempDir(), "test.db")
	login, game, other := newSessions(t, file), newSessions(t, file), newSessions(t, file)
	first := raise(t, login, "alice")
	forged := first
	forged.ID = "another"
	ahead := first
	ahead.Epoch++
	for name, c := range map[string]struct {
		g   Grant
		err error
	}{
		"a token never given": {forged, ErrInvalid},
		"a login to come":     {ahead, ErrInvalid},
		"an unknown uid":      {Grant{UID: "bob", Epoch: 1, ID: "x"}, ErrInvalid},
	} {
		if err := game.Redeem(t.Context(), c.g); !errors.Is(err, c.err) {
			t.Errorf("%s: %v, want %v", name, err, c.err)
		}
	}
	if err := game.Redeem(t.Context(), first); err != nil {
		t.Error(err)
	}
	for _, s := range []*Sessions{game, other} {
		if err := s.Redeem(t.Context(), first); !errors.Is(err, ErrUsed) {
			t.Errorf("again: %v", err)
		}
	}
	second, third := raise(t, login, "alice"), raise(t, login, "alice")
	if second.Epoch != first.Epoch+1 || third.Epoch != second.Epoch+1 {
		t.Errorf("epochs %d, %d, %d", first.Epoch, second.Epoch, third.Epoch)
	}
	for _, g := range []Grant{first, second} { // the one was used, the other never
		if err := other.Redeem(t.Context(), g); !errors.Is(err, ErrSuperseded) {
			t.Errorf("epoch %d: %v", g.Epoch, err)
		}
	}
	if err := other.Redeem(t.Context(), third); err != nil {
		t.Error(err)
	}
}

// Of many that use one token at once, in several games, one is let in.
func TestTokenIsUsedOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "test.db")
	games := []*Sessions{newSessions(t, file), newSessions(t, file), newSessions(t, file)}
	for range 20 {
		g := raise(t, games[0], "alice")
		var in atomic.Int64
		var wg sync.WaitGroup
		for i := range 30 {
			wg.Go(func() {
				switch err := games[i%len(games)].Redeem(t.Context(), g); {
				case err == nil:
					in.Add(1)
				case !errors.Is(err, ErrUsed):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := in.Load(); n != 1 {
			t.Errorf("%d were let in", n)
		}
	}
}

// A database that is away is not the client's fault.
func TestDatabaseAway(t *testing.T) {
	db, err := sqldb.Open("sqlite:"+filepath.Join(t.TempDir(), "no", "folder.db"), sqldb.Options{}, SessionTables())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s := NewSessions(db)
	if _, _, err := s.Raise(t.Context(), "alice"); !errors.Is(err, sqldb.ErrUnavailable) {
		t.Error(err)
	}
	if err := s.Redeem(t.Context(), Grant{UID: "alice"}); !errors.Is(err, sqldb.ErrUnavailable) || errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
}

// Logins of 10,000 uids, 200 at a time.
func BenchmarkRaise(b *testing.B) {
	s := newSessions(b, filepath.Join(b.TempDir(), "bench.db"))
	b.SetParallelism(100)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, _, err := s.Raise(b.Context(), fmt.Sprint("robot", rand.IntN(10_000))); err != nil {
				b.Error(err)
			}
		}
	})
}
