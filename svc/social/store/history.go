package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/davyxu/cellmesh_demo/util/sqldb"
)

// record inserts lines, and cuts their rooms to the newest keep.
func record(ctx context.Context, tx sqldb.Tx, lines []Line, keep int) error {
	rooms := map[string]bool{}
	for _, l := range lines {
		rooms[l.Room] = true
		if _, err := tx.ExecContext(ctx, `
			INSERT INTO chat_lines (room, `+lineColumns+`) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`,
			l.Room, int64(l.ID), l.From, l.Name, l.At.UnixMilli(), l.Text); err != nil {
			return err
		}
	}
	for room := range rooms {
		if _, err := tx.ExecContext(ctx, `
			DELETE FROM chat_lines WHERE room = $1 AND id <= (SELECT id FROM chat_lines WHERE room = $1 ORDER BY id DESC LIMIT 1 OFFSET $2)`,
			room, keep); err != nil {
			return err
		}
	}
	return nil
}

// History is the newest lines of a room, limit at most, the oldest first; if
// before is not 0, only those with a lower ID.
func (s *Store) History(ctx context.Context, room string, before uint64, limit int) (lines []Line, err error) {
	if before == 0 || before > 1<<63-1 {
		before = 1<<63 - 1
	}
	err = s.db.Read(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		rows, err := tx.QueryContext(ctx, `
			SELECT `+lineColumns+` FROM chat_lines WHERE room = $1 AND id < $2 ORDER BY id DESC LIMIT $3`, room, int64(before), limit)
		lines, err = sqldb.Rows(rows, err, scanLine)
		return err
	})
	for i := range lines {
		lines[i].Room = room
	}
	slices.Reverse(lines)
	return lines, about("read history", err)
}

// Topic is what a room is about; empty if nobody has said so.
func (s *Store) Topic(ctx context.Context, room string) (topic string, err error) {
	err = s.db.Read(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		err := tx.QueryRowContext(ctx, "SELECT topic FROM chat_topics WHERE room = $1", room).Scan(&topic)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return topic, about("read topic", err)
}

// SetTopic sets what a room is about; an empty topic is none.
func (s *Store) SetTopic(ctx context.Context, room, topic string, at time.Time) error {
	err := s.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) (err error) {
		if topic == "" {
			_, err = tx.ExecContext(ctx, "DELETE FROM chat_topics WHERE room = $1", room)
			return err
		}
		_, err = tx.ExecContext(ctx, `
			INSERT INTO chat_topics (room, topic, unix_ms) VALUES ($1, $2, $3)
			ON CONFLICT (room) DO UPDATE SET topic = excluded.topic, unix_ms = excluded.unix_ms`, room, topic, at.UnixMilli())
		return err
	})
	return about("store topic", err)
}

// Sweep forgets lines said before, topics of rooms that are left without lines
// and were set before, and private lines that have waited since before.
func (s *Store) Sweep(ctx context.Context, before time.Time) error {
	err := s.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		for _, query := range []string{
			"DELETE FROM chat_lines WHERE unix_ms < $1",
			"DELETE FROM chat_topics WHERE unix_ms < $1 AND NOT EXISTS (SELECT 1 FROM chat_lines WHERE chat_lines.room = chat_topics.room)",
			"DELETE FROM chat_inbox WHERE unix_ms < $1",
		} {
			if _, err := tx.ExecContext(ctx, query, before.UnixMilli()); err != nil {
				return err
			}
		}
		return nil
	})
	return about("sweep chat", err)
}
