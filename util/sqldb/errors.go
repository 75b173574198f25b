package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Errors that are wrapped with what happened. An error that wraps none of them
// is the caller's own: of its function, or of its SQL.
var (
	// ErrUnavailable: the database cannot do anything for anybody just now. Trying
	// again later may help; nothing was written, unless ErrInDoubt says so too.
	ErrUnavailable = errors.New("database unavailable")
	// ErrInDoubt: the commit failed, and what was written may or may not be found
	// there later.
	ErrInDoubt = errors.New("not known whether it was written")
	// ErrNewer: a newer program has changed the tables. Trying again does not help.
	ErrNewer = errors.New("database is newer than this program")
)

var (
	errQueueFull = fmt.Errorf("%w: too many writes wait already", ErrUnavailable)
	errClosed    = fmt.Errorf("%w: it was closed", ErrUnavailable)
	errLocked    = fmt.Errorf("%w: another process has kept it locked for too long: find who, and end it", ErrUnavailable)
)

// isBusy reports whether somebody else has the database at this moment.
func isBusy(err error) bool {
	switch primary(err) {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return true
	}
	return false
}

// primary is SQLite's result code of err, 0 if it is not of SQLite.
func primary(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff // the rest tells more
	}
	return 0
}

// advice is what to do about an error that everybody meets.
var advice = map[int]string{
	sqlite3.SQLITE_FULL:     "the disk is full: make room",
	sqlite3.SQLITE_IOERR:    "the disk cannot be read or written, or is full: see the system's log",
	sqlite3.SQLITE_CANTOPEN: "its file cannot be opened: its folder must be there, and may be written to",
	sqlite3.SQLITE_READONLY: "its file is read-only: let this user write to it and its folder",
	sqlite3.SQLITE_PERM:     "no permission: let this user write to the file and its folder",
	sqlite3.SQLITE_CORRUPT:  "its file is damaged: restore it from a backup",
	sqlite3.SQLITE_NOTADB:   "its file is no database: name another",
	sqlite3.SQLITE_BUSY:     "another process keeps it locked: find who, and end it",
	sqlite3.SQLITE_LOCKED:   "another process keeps it locked: find who, and end it",
	sqlite3.SQLITE_NOMEM:    "out of memory",
}

// unavailable wraps err as ErrUnavailable, with what to do, if it is an error
// that everybody meets; else it is err.
func unavailable(err error) error {
	if err == nil || errors.Is(err, ErrUnavailable) {
		return err
	}
	if what, ok := advice[primary(err)]; ok {
		return fmt.Errorf("%w: %s: %w", ErrUnavailable, what, err)
	}
	if errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}
