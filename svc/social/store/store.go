// Package store keeps what chat must remember: the newest lines of each room,
// its topic, and private lines that wait for their receiver. (The table chat_people
// is left for socials of an older version that run beside: who was ever here,
// loginapi knows.)
//
// Topics and private lines are on the disk when they are acknowledged. Lines of
// rooms are written behind ([Recorder]): to say something does not wait for the
// disk. A process that is killed loses those of its last quarter of a second from
// the history, of which nobody was promised anything.
//
// Open store.go first; history.go is lines and topics, inbox.go private lines and
// how they are handed over once, recorder.go what is written behind.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"time"

	"github.com/davyxu/cellmesh_demo/util/sqldb"
)

// ErrFull: as many private lines wait for that player as may. Other errors of a
// Store wrap sqldb.ErrUnavailable, or sqldb.ErrInDoubt too.
var ErrFull = errors.New("inbox is full")

// Line is a line that a player has said.
type Line struct {
	ID   uint64
	Room string // empty: to everybody, or private
	From string // uid
	Name string // of the sender, when it was said
	At   time.Time
	Text string
}

//go:embed tables/*.sql
var tables embed.FS

// Tables are what a Store needs in its database.
func Tables() sqldb.Migrations { return sqldb.Embedded("chat", tables) }

// Store keeps it in a database, which several processes may share. Any goroutine
// may use it.
type Store struct{ db *sqldb.DB }

// New uses a database that was opened with Tables.
func New(db *sqldb.DB) *Store { return &Store{db} }

// Record stores lines. What is there already stays. Of each of their rooms the
// newest keep lines are left.
func (s *Store) Record(ctx context.Context, lines []Line, keep int) error {
	return about("store chat", s.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		return record(ctx, tx, lines, keep)
	}))
}

// scanLine reads a line from id, sender, name, unix_ms, text.
func scanLine(rows *sql.Rows) (l Line, err error) {
	var at int64
	err = rows.Scan(&l.ID, &l.From, &l.Name, &at, &l.Text)
	l.At = time.UnixMilli(at)
	return l, err
}

const lineColumns = "id, sender, name, unix_ms, text"

func about(what string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
