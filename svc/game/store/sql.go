package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"time"

	"github.com/davyxu/cellmesh_demo/svc/game/growth"
	"github.com/davyxu/cellmesh_demo/util/sqldb"
)

//go:embed tables/*.sql
var tables embed.FS

// Tables are what SQL needs in its database.
func Tables() sqldb.Migrations { return sqldb.Embedded("players", tables) }

// SQL is the Store in a database.
type SQL struct {
	db    *sqldb.DB
	rests time.Duration // Trim rests so many times as long as it has worked
}

// NewSQL uses a database that was opened with Tables.
func NewSQL(db *sqldb.DB) *SQL { return &SQL{db, 9} }

var _ Store = (*SQL)(nil)

// Load is that of Store.
func (s *SQL) Load(ctx context.Context, o Owner, fresh growth.Player, at time.Time) (p Player, err error) {
	err = s.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		var text string
		err := tx.QueryRowContext(ctx, `
			UPDATE players SET owner_epoch = $2, owner = $3 WHERE uid = $1 AND owner_epoch <= $2 RETURNING revision, data`,
			o.UID, int64(o.Epoch), o.Load).Scan(&p.Revision, &text)
		if errors.Is(err, sql.ErrNoRows) {
			p = Player{Data{Player: fresh}, 1}
			return create(ctx, tx, o, p.Data, at)
		}
		if err != nil {
			return err
		}
		p.Data, err = understood(text)
		return err // undoes what was written
	})
	return p, about("load player", o.UID, err)
}

// create makes the row of a player, if there is none.
func create(ctx context.Context, tx sqldb.Tx, o Owner, d Data, at time.Time) error {
	text, err := d.encode()
	if err != nil {
		return err
	}
	done, err := tx.ExecContext(ctx, `
		INSERT INTO players (uid, owner_epoch, owner, revision, data) VALUES ($1, $2, $3, 1, $4) ON CONFLICT DO NOTHING`,
		o.UID, int64(o.Epoch), o.Load, text)
	if n, err := affected(done, err); err != nil {
		return err
	} else if n == 0 {
		return ErrNotOwner // it is there, with a higher epoch
	}
	_, err = record(ctx, tx, Entry{UID: o.UID, Revision: 1, RequestID: createdID, What: Created, At: at, After: stateOf(d.Player)})
	return err
}

// Reload is that of Store.
func (s *SQL) Reload(ctx context.Context, o Owner) (p Player, err error) {
	err = s.db.Read(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		var text string
		err := tx.QueryRowContext(ctx, `
			SELECT revision, data FROM players WHERE uid = $1 AND owner_epoch = $2 AND owner = $3`,
			o.UID, int64(o.Epoch), o.Load).Scan(&p.Revision, &text)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNotOwner
		}
		if err == nil {
			p.Data, err = understood(text)
		}
		return err
	})
	return p, about("load player", o.UID, err)
}

// Apply is that of Store.
func (s *SQL) Apply(ctx context.Context, o Owner, e Entry, data Data) error {
	text, err := data.encode()
	if err != nil {
		return about("save player", o.UID, err)
	}
	e.UID = o.UID
	err = s.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		if err := put(ctx, tx, o, e.Revision-1, e.Revision, text); err != nil {
			return err
		}
		n, err := record(ctx, tx, e)
		if err == nil && n == 0 {
			err = done(ctx, tx, o.UID, e.RequestID)
		}
		return err
	})
	return about("save player", o.UID, err)
}

// Note is that of Store.
func (s *SQL) Note(ctx context.Context, o Owner, requestID string, revision int64, data Data) error {
	text, err := data.encode()
	if err != nil {
		return about("save player", o.UID, err)
	}
	err = s.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		if err := done(ctx, tx, o.UID, requestID); err != nil {
			return err
		}
		return put(ctx, tx, o, revision, revision, text)
	})
	return about("save player", o.UID, err)
}

// put writes a row, if it is still that of the owner and of the revision.
func put(ctx context.Context, tx sqldb.Tx, o Owner, from, to int64, text string) error {
	done, err := tx.ExecContext(ctx, `
		UPDATE players SET revision = $1, data = $2 WHERE uid = $3 AND owner_epoch = $4 AND owner = $5 AND revision = $6`,
		to, text, o.UID, int64(o.Epoch), o.Load, from)
	n, err := affected(done, err)
	if err != nil || n == 1 {
		return err
	}
	err = tx.QueryRowContext(ctx, `
		SELECT count(*) FROM players WHERE uid = $1 AND owner_epoch = $2 AND owner = $3`, o.UID, int64(o.Epoch), o.Load).Scan(&n)
	switch {
	case err != nil:
		return err
	case n == 0:
		return ErrNotOwner
	}
	return ErrStale
}

// record adds a line to the ledger; 0 if its request has one already.
func record(ctx context.Context, tx sqldb.Tx, e Entry) (int64, error) {
	return affected(tx.ExecContext(ctx, `
		INSERT INTO player_ledger (`+columns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
		ON CONFLICT (uid, request_id) DO NOTHING`,
		e.UID, e.Revision, e.RequestID, e.What, e.At.UnixMilli(),
		e.Before.Name, e.After.Name, e.Before.Level, e.After.Level, e.Before.Money, e.After.Money))
}

const columns = "uid, revision, request_id, what, at, name_before, name_after, level_before, level_after, money_before, money_after"

// done is a *DuplicateError if the request has a line in the ledger.
func done(ctx context.Context, tx sqldb.Tx, uid, requestID string) error {
	rows, err := tx.QueryContext(ctx, "SELECT "+columns+" FROM player_ledger WHERE uid = $1 AND request_id = $2", uid, requestID)
	found, err := sqldb.Rows(rows, err, entry)
	if err != nil || len(found) == 0 {
		return err
	}
	return &DuplicateError{found[0]}
}

// entry reads a line of the ledger from columns.
func entry(rows *sql.Rows) (e Entry, err error) {
	var at int64
	err = rows.Scan(&e.UID, &e.Revision, &e.RequestID, &e.What, &at,
		&e.Before.Name, &e.After.Name, &e.Before.Level, &e.After.Level, &e.Before.Money, &e.After.Money)
	e.At = time.UnixMilli(at)
	return e, err
}

// Look is that of Store.
func (s *SQL) Look(ctx context.Context, uid string, changes int) (p Player, recent []Entry, err error) {
	err = s.db.Read(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		var text string
		err := tx.QueryRowContext(ctx, "SELECT revision, data FROM players WHERE uid = $1", uid).Scan(&p.Revision, &text)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrUnknown
		}
		if err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, "SELECT "+columns+" FROM player_ledger WHERE uid = $1 ORDER BY revision DESC LIMIT $2", uid, changes)
		if recent, err = sqldb.Rows(rows, err, entry); err != nil {
			return err
		}
		p.Data, err = understood(text) // a broken one still has changes to show
		return err
	})
	return p, recent, about("look at player", uid, err)
}

func understood(text string) (Data, error) {
	d, err := decode(text)
	if err != nil {
		return d, fmt.Errorf("%w: %w", ErrBroken, err)
	}
	return d, nil
}

func affected(done sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return done.RowsAffected()
}

func about(what, uid string, err error) error {
	if err != nil {
		return fmt.Errorf("%s %q: %w", what, uid, err)
	}
	return nil
}
