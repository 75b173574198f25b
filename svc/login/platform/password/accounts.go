package password

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"time"

	"github.com/davyxu/cellmesh_demo/svc/login/platform"
	"github.com/davyxu/cellmesh_demo/util/sqldb"
)

//go:embed tables
var files embed.FS

// Tables are the tables in the database.
func Tables() sqldb.Migrations { return sqldb.Embedded("password", files) }

// How wrong passwords are held against a name.
const (
	free      = 5 // of them
	firstLock = 30 * time.Second
	longest   = time.Hour
	forgotten = 24 * time.Hour
)

// lockedFor is how long a name is locked after so many wrong passwords.
func lockedFor(count int64) time.Duration {
	if count < free {
		return 0
	}
	return min(firstLock<<min(count-free, 20), longest)
}

var errExists = errors.New("the account exists")

// account is one account.
type account struct{ id, name, hash string }

func (a account) identity() platform.Identity {
	return platform.Identity{Subject: a.id, Name: a.name}
}

// standing is how things are with a name: whether there is an account or not.
type standing struct {
	account  // hash is empty if there is none
	failures int64
	locked   time.Time // until then
}

// accounts is what lies in the database.
type accounts struct{ db *sqldb.DB }

func (a accounts) look(ctx context.Context, name string) (standing, error) {
	s := standing{account: account{name: name}}
	err := a.db.Read(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		var locked int64
		err := tx.QueryRowContext(ctx, "SELECT count, locked FROM password_failures WHERE name = $1", name).Scan(&s.failures, &locked)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		s.locked = time.UnixMilli(locked)
		err = tx.QueryRowContext(ctx, "SELECT id, hash FROM password_accounts WHERE name = $1", name).Scan(&s.id, &s.hash)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	if err != nil {
		return s, fmt.Errorf("look up an account: %w", err)
	}
	return s, nil
}

// add adds an account, or fails with errExists.
func (a accounts) add(ctx context.Context, name, hash string, now time.Time) (account, error) {
	one := account{rand.Text(), name, hash}
	err := a.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		done, err := tx.ExecContext(ctx, "INSERT INTO password_accounts (id, name, hash, created, changed) VALUES ($1, $2, $3, $4, $4) ON CONFLICT DO NOTHING",
			one.id, name, hash, now.UnixMilli())
		return changedOne(done, err, errExists)
	})
	if err != nil {
		return account{}, fmt.Errorf("add an account: %w", err)
	}
	return one, nil
}

// change gives an account another hash, if it still has the old one.
func (a accounts) change(ctx context.Context, id, old, hash string, now time.Time) error {
	err := a.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		done, err := tx.ExecContext(ctx, "UPDATE password_accounts SET hash = $1, changed = $2 WHERE id = $3 AND hash = $4", hash, now.UnixMilli(), id, old)
		return changedOne(done, err, errors.New("somebody else has changed it in this moment"))
	})
	if err != nil {
		return fmt.Errorf("change a password: %w", err)
	}
	return nil
}

// changedOne is err, or none if one row was changed, or otherwise.
func changedOne(done sql.Result, err, otherwise error) error {
	if err != nil {
		return err
	}
	n, err := done.RowsAffected()
	if err == nil && n != 1 {
		err = otherwise
	}
	return err
}

// failed counts a wrong password. What was forgotten goes for good.
func (a accounts) failed(ctx context.Context, name string, now time.Time) error {
	err := a.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM password_failures WHERE last < $1", now.Add(-forgotten).UnixMilli()); err != nil {
			return err
		}
		var count int64
		err := tx.QueryRowContext(ctx, `INSERT INTO password_failures (name, count, last, locked) VALUES ($1, 1, $2, 0)
			ON CONFLICT (name) DO UPDATE SET count = password_failures.count + 1, last = excluded.last RETURNING count`,
			name, now.UnixMilli()).Scan(&count)
		if err != nil {
			return err
		}
		if d := lockedFor(count); d > 0 {
			_, err = tx.ExecContext(ctx, "UPDATE password_failures SET locked = $1 WHERE name = $2", now.Add(d).UnixMilli(), name)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("count a wrong password: %w", err)
	}
	return nil
}

// forgive forgets the wrong passwords of a name.
func (a accounts) forgive(ctx context.Context, name string) error {
	err := a.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM password_failures WHERE name = $1", name)
		return err
	})
	if err != nil {
		return fmt.Errorf("forget wrong passwords: %w", err)
	}
	return nil
}
