package store

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/davyxu/cellmesh_demo/util/sqldb"
)

// Keep stores a private line for a player who is not here, of which most may
// wait. When it returns without an error the line is on the disk. The error may
// be ErrFull. Keeping a line again changes nothing.
func (s *Store) Keep(ctx context.Context, to string, l Line, most int) error {
	err := s.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		var waiting int
		err := tx.QueryRowContext(ctx, "SELECT count(*) FROM chat_inbox WHERE uid = $1 AND id <> $2", to, int64(l.ID)).Scan(&waiting)
		switch {
		case err != nil:
			return err
		case waiting >= most:
			return ErrFull
		}
		_, err = tx.ExecContext(ctx, `
			INSERT INTO chat_inbox (uid, `+lineColumns+`) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`,
			to, int64(l.ID), l.From, l.Name, l.At.UnixMilli(), l.Text)
		return err
	})
	return about("store private line", err)
}

// Waiting is when the private lines for a player can be claimed: the zero time for
// at once, false if none waits.
func (s *Store) Waiting(ctx context.Context, uid string, now time.Time) (at time.Time, waits bool, err error) {
	err = s.db.Read(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		var until sql.NullInt64
		err := tx.QueryRowContext(ctx, "SELECT max(until) FROM chat_inbox WHERE uid = $1", uid).Scan(&until)
		if waits = err == nil && until.Valid; waits && until.Int64 > now.UnixMilli() {
			at = time.UnixMilli(until.Int64)
		}
		return err
	})
	return at, waits, about("look into inbox", err)
}

// Claim is the private lines that wait for a player, the oldest first; none while
// somebody else has claimed some and may still hand them over, for newer ones must
// not come before them. Until the time given they are the caller's, who hands them
// over and then calls Delivered; or Unclaim, if the player is gone. claim is an ID
// of the caller's own for each call.
//
// So two processes never both hand over a line, and one that dies takes none
// along. Only who dies between handing over and Delivered leaves lines that come
// again, when the claim has run out: with the IDs that they had.
func (s *Store) Claim(ctx context.Context, uid, claim string, now, until time.Time) (lines []Line, err error) {
	err = s.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		lines = nil
		var claimed int
		err := tx.QueryRowContext(ctx, "SELECT count(*) FROM chat_inbox WHERE uid = $1 AND until > $2", uid, now.UnixMilli()).Scan(&claimed)
		if err != nil || claimed > 0 {
			return err
		}
		rows, err := tx.QueryContext(ctx, "UPDATE chat_inbox SET claim = $1, until = $2 WHERE uid = $3 RETURNING "+lineColumns,
			claim, until.UnixMilli(), uid)
		lines, err = sqldb.Rows(rows, err, scanLine)
		return err
	})
	slices.SortFunc(lines, func(a, b Line) int { return cmp.Compare(a.ID, b.ID) })
	return lines, about("claim private lines", err)
}

// Delivered forgets lines that were handed over: those of the claim up to an ID.
func (s *Store) Delivered(ctx context.Context, uid, claim string, last uint64) error {
	return s.inbox(ctx, "forget private lines", "DELETE FROM chat_inbox WHERE uid = $1 AND claim = $2 AND id <= $3", uid, claim, int64(last))
}

// Unclaim gives lines back to whoever claims them next.
func (s *Store) Unclaim(ctx context.Context, uid, claim string) error {
	return s.inbox(ctx, "give private lines back", "UPDATE chat_inbox SET claim = '', until = 0 WHERE uid = $1 AND claim = $2", uid, claim)
}

func (s *Store) inbox(ctx context.Context, what, query string, args ...any) error {
	return about(what, s.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		_, err := tx.ExecContext(ctx, query, args...)
		return err
	}))
}
