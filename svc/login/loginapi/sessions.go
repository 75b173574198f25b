package loginapi

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"sync"

	"github.com/davyxu/cellmesh_demo/util/sqldb"
)

// Why a good token does not open a session.
var (
	ErrUsed       = errors.New("token was used already")
	ErrSuperseded = errors.New("the uid has logged in again since")
)

// Sessions counts the logins of every uid in the database that login and game
// share. That makes an epoch one that grows by itself, whatever clocks say, and
// a token good for one session in all games.
type Sessions struct {
	db         *sqldb.DB
	statements []statement // that count logins

	mu   sync.Mutex
	next *raising // takes more logins; nil: the next login begins one
}

// NewSessions uses a database that was opened with SessionTables.
func NewSessions(db *sqldb.DB) *Sessions { return &Sessions{db: db, statements: statements()} }

//go:embed tables/*.sql
var tables embed.FS

// SessionTables are what Sessions needs in its database.
func SessionTables() sqldb.Migrations { return sqldb.Embedded("logins", tables) }

// Redeem uses up the token of a grant: nil is returned once only, in whatever
// game. The error wraps ErrSuperseded, ErrUsed, ErrInvalid (no such login was
// counted), or sqldb.ErrUnavailable if the database is away.
func (s *Sessions) Redeem(ctx context.Context, g Grant) error {
	err := s.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		done, err := tx.ExecContext(ctx, `
			UPDATE logins SET used = 1 WHERE uid = $1 AND epoch = $2 AND token = $3 AND used = 0`, g.UID, int64(g.Epoch), g.ID)
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n == 1 {
			return err
		}
		return whyNot(ctx, tx, g)
	})
	if err != nil {
		return fmt.Errorf("token of login %d of %q: %w", g.Epoch, g.UID, err)
	}
	return nil
}

// whyNot is why no row was found for a grant.
func whyNot(ctx context.Context, tx sqldb.Tx, g Grant) error {
	var epoch int64
	var token string
	err := tx.QueryRowContext(ctx, "SELECT epoch, token FROM logins WHERE uid = $1", g.UID).Scan(&epoch, &token)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	switch {
	case uint64(epoch) > g.Epoch:
		return ErrSuperseded
	case uint64(epoch) == g.Epoch && token == g.ID:
		return ErrUsed
	}
	return fmt.Errorf("%w: no such login was counted: is -database the same for all logins and games?", ErrInvalid)
}
