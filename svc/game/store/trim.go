package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/davyxu/cellmesh_demo/util/sqldb"
)

// MinKeep is the shortest time that lines of the ledger may be kept for: a client
// that comes back with a request must find its answer.
const MinKeep = 24 * time.Hour

// TrimEvery is how often the ledger is looked through, by one game of all.
const TrimEvery = time.Hour

const (
	trimPlayers = 100  // are looked up at once
	trimRead    = 1000 // lines of a player are
	trimWrite   = 100  // are removed at once: others' changes wait for that
)

// Trim removes lines of the ledger that are older than keep, and with them the
// answers to their requests, unless a game has begun to do so within TrimEvery. It
// returns how many it has removed.
//
// What is left of a player's ledger is whole at any moment: its changes up to the
// newest one, each beginning with what the one before has left. The first one left
// begins with what the player had then, so that money still adds up. The newest
// one stays however old it is. Where the clock was put back, a line stays as long
// as any before it.
func (s *SQL) Trim(ctx context.Context, now time.Time, keep time.Duration) (removed int, err error) {
	mine := false
	err = s.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		next := now.Add(TrimEvery).UnixMilli()
		n, err := affected(tx.ExecContext(ctx, "UPDATE player_trim SET next = $1 WHERE next <= $2 OR next > $1", next, now.UnixMilli()))
		mine = n > 0
		return err
	})
	if err == nil && mine {
		removed, err = s.trim(ctx, now.Add(-keep))
	}
	if err != nil {
		err = fmt.Errorf("trim the ledger: %w", err)
	}
	return removed, err
}

// trim removes lines from before a time, player by player.
func (s *SQL) trim(ctx context.Context, before time.Time) (removed int, err error) {
	for uid, more := "", true; more; {
		began := time.Now()
		uids, err := s.texts(ctx, "SELECT uid FROM players WHERE uid > $1 ORDER BY uid LIMIT $2", uid, trimPlayers)
		if err != nil {
			return removed, err
		}
		for _, uid = range uids {
			n, err := s.trimPlayer(ctx, uid, before)
			if removed += n; err != nil {
				return removed, err
			}
		}
		more = len(uids) == trimPlayers
		if err := s.rest(ctx, began); err != nil {
			return removed, err
		}
	}
	return removed, nil
}

// trimPlayer removes a player's lines from before a time, the oldest first.
func (s *SQL) trimPlayer(ctx context.Context, uid string, before time.Time) (removed int, err error) {
	for more := true; more; {
		ids, err := s.texts(ctx, `
			SELECT request_id FROM player_ledger WHERE uid = $1 AND revision < (SELECT min(revision) FROM (
				SELECT revision FROM players WHERE uid = $1 UNION ALL
				SELECT revision FROM player_ledger WHERE uid = $1 AND at >= $2) AS kept)
			ORDER BY revision LIMIT $3`, uid, before.UnixMilli(), trimRead)
		if err != nil {
			return removed, err
		}
		more = len(ids) == trimRead
		for len(ids) > 0 {
			began := time.Now()
			some := ids[:min(len(ids), trimWrite)]
			err := s.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
				for _, id := range some {
					if _, err := tx.ExecContext(ctx, "DELETE FROM player_ledger WHERE uid = $1 AND request_id = $2", uid, id); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return removed, about("trim the ledger of", uid, err)
			}
			removed, ids = removed+len(some), ids[len(some):]
			if err := s.rest(ctx, began); err != nil {
				return removed, err
			}
		}
	}
	return removed, nil
}

// rest leaves the database to others after work that began then.
func (s *SQL) rest(ctx context.Context, began time.Time) error {
	select {
	case <-time.After(min(s.rests*time.Since(began), time.Minute)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// texts is what a query finds, one text in each row.
func (s *SQL) texts(ctx context.Context, query string, args ...any) (all []string, err error) {
	err = s.db.Read(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		rows, err := tx.QueryContext(ctx, query, args...)
		all, err = sqldb.Rows(rows, err, func(rows *sql.Rows) (text string, err error) {
			err = rows.Scan(&text)
			return text, err
		})
		return err
	})
	return all, err
}
