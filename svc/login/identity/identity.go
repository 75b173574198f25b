// Package identity gives every account of every platform a uid of its own, the
// same for ever. There is one file, and the tables.
package identity

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/davyxu/cellmesh_demo/util/sqldb"
)

//go:embed tables
var files embed.FS

// Tables are the tables in the database.
func Tables() sqldb.Migrations { return sqldb.Embedded("identity", files) }

// maxUID is the longest uid that an account may wish for, in bytes.
const maxUID = 128

// maxKept is how many uids are kept in memory.
const maxKept = 200_000

// Account is an account of a platform: Subject names it there for ever.
type Account struct{ Platform, Subject string }

// Store knows the uids. Several processes may have the same database. Any
// goroutine may use it.
type Store struct {
	db *sqldb.DB

	mu         sync.Mutex
	young, old map[Account]string // what was asked for lately; a uid never changes
	most       int                // in both
}

// New makes a store of a database that has Tables.
func New(db *sqldb.DB) *Store {
	return &Store{db: db, young: map[Account]string{}, most: maxKept}
}

// UID is the uid of an account. At its first login it gets one: wish, if that
// is 1 to 128 bytes that can be shown and no other account has it, else one made
// up of 26 letters and digits.
func (s *Store) UID(ctx context.Context, a Account, wish string) (string, error) {
	if uid, ok := s.kept(a); ok {
		return uid, nil
	}
	uid := ""
	err := s.db.Read(ctx, func(ctx context.Context, tx sqldb.Tx) (err error) {
		uid, err = find(ctx, tx, a)
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		err = s.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) (err error) {
			uid, err = enter(ctx, tx, a, wish)
			return err
		})
	}
	if err != nil {
		return "", fmt.Errorf("uid of %q on platform %s: %w", a.Subject, a.Platform, err)
	}
	s.keep(a, uid)
	return uid, nil
}

func find(ctx context.Context, tx sqldb.Tx, a Account) (uid string, err error) {
	err = tx.QueryRowContext(ctx, "SELECT uid FROM identities WHERE platform = $1 AND subject = $2", a.Platform, a.Subject).Scan(&uid)
	return uid, err
}

// enter gives a uid to an account that had none a moment ago.
func enter(ctx context.Context, tx sqldb.Tx, a Account, wish string) (uid string, err error) {
	for uid = wish; ; uid = strings.ToLower(rand.Text()) {
		if uid == "" || len(uid) > maxUID || !utf8.ValidString(uid) || strings.ContainsFunc(uid, unicode.IsControl) {
			continue
		}
		done, err := tx.ExecContext(ctx, "INSERT INTO identities (platform, subject, uid, created) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
			a.Platform, a.Subject, uid, time.Now().UnixMilli())
		if err != nil {
			return "", err
		}
		if n, err := done.RowsAffected(); err != nil || n == 1 {
			return uid, err
		}
		if first, err := find(ctx, tx, a); !errors.Is(err, sql.ErrNoRows) {
			return first, err // another login was faster
		}
	}
}

func (s *Store) kept(a Account) (uid string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if uid, ok = s.young[a]; ok {
		return uid, true
	}
	if uid, ok = s.old[a]; ok {
		s.keepLocked(a, uid)
	}
	return uid, ok
}

func (s *Store) keep(a Account, uid string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keepLocked(a, uid)
}

// keepLocked remembers; of too many those not asked for lately are forgotten.
func (s *Store) keepLocked(a Account, uid string) {
	if len(s.young) >= s.most/2 {
		s.old, s.young = s.young, map[Account]string{}
	}
	s.young[a] = uid
}
