package identity

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/davyxu/cellmesh_demo/util/sqldb"
)

func open(t testing.TB, file string) *Store {
	t.Helper()
	db, err := sqldb.Open("sqlite:"+file, sqldb.Options{}, Tables())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := db.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	return New(db)
}

func (s *Store) uid(t *testing.T, platform, subject, wish string) string {
	t.Helper()
	uid, err := s.UID(t.Context(), Account{platform, subject}, wish)
	if err != nil {
		t.Fatal(err)
	}
	return uid
}

// An account gets the uid it wishes for, if nobody has it; and keeps it, also
// over a restart.
func TestWish(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.db")
	s := open(t, file)
	if uid := s.uid(t, "demo", "alice", "alice"); uid != "alice" {
		t.Errorf("alice is %q", uid)
	}
	other := s.uid(t, "password", "7", "alice")
	if other == "alice" || len(other) != 26 {
		t.Errorf("another alice is %q", other)
	}
	if uid := s.uid(t, "demo", other, other); uid == other {
		t.Error("demo has taken the uid of another platform's account")
	}
	made := s.uid(t, "oidc:google", "123", "")
	if len(made) != 26 || made == other {
		t.Errorf("without a wish: %q", made)
	}
	if uid := s.uid(t, "oidc:apple", "123", strings.Repeat("x", 129)); len(uid) != 26 || uid == made {
		t.Errorf("the same subject on another platform is %q", uid)
	}
	for _, bad := range []string{"al\nice", "alice\x00", "\xff", "\u0085"} {
		if uid := s.uid(t, "http", bad, bad); len(uid) != 26 {
			t.Errorf("%q was granted as %q", bad, uid)
		}
	}
	again := open(t, file)
	if a, b, c := again.uid(t, "demo", "alice", "bob"), again.uid(t, "password", "7", "x"), again.uid(t, "oidc:google", "123", ""); a != "alice" || b != other || c != made {
		t.Errorf("after a restart: %q %q %q", a, b, c)
	}
}

// However many log in for the first time, through two databases on one file,
// all at once: an account has one uid, and a uid one account.
func TestRace(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.db")
	stores := []*Store{open(t, file), open(t, file)}
	for _, s := range stores {
		s.most = 20 // forgets a lot
	}
	const names, workers, each = 12, 16, 60
	var mu sync.Mutex
	uidOf, accountOf := map[Account]string{}, map[string]Account{}
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			for range each {
				name := fmt.Sprint("name", rand.IntN(names))
				a := Account{[]string{"demo", "password", "http"}[rand.IntN(3)], name}
				uid, err := stores[w%2].UID(context.Background(), a, name)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if was, ok := uidOf[a]; ok && was != uid {
					t.Errorf("%v is %s and %s", a, was, uid)
				}
				if was, ok := accountOf[uid]; ok && was != a {
					t.Errorf("%s is %v and %v", uid, was, a)
				}
				uidOf[a], accountOf[uid] = uid, a
				mu.Unlock()
			}
		})
	}
	all.Wait()
	wished := 0
	for a, uid := range uidOf {
		if a.Subject == uid {
			wished++
		}
	}
	if wished != names {
		t.Errorf("%d accounts have the uid they wished for, want %d", wished, names)
	}
	for _, s := range stores {
		if n := len(s.young) + len(s.old); n > 21 {
			t.Errorf("%d uids are kept", n)
		}
	}
}

// Without a database there is no uid, unless it is known.
func TestUnavailable(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "x.db"))
	s.uid(t, "demo", "alice", "alice")
	s.db.Close()
	if uid := s.uid(t, "demo", "alice", "alice"); uid != "alice" {
		t.Errorf("alice is %q", uid)
	}
	if _, err := s.UID(t.Context(), Account{"demo", "bob"}, "bob"); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
