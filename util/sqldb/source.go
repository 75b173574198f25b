package sqldb

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
)

// readers is how many connections read at a time, each with a cache of its own.
const readers = 4

// readPatience is how long a read waits for a file that is locked, as it is for
// moments only.
const readPatience = 5 * time.Second

// source is where the data is.
type source struct {
	name    string // for people
	file    string // of SQLite
	dialect goose.Dialect
}

// parseSource understands "sqlite:FILE". What it refuses is not repeated: there
// may be a password in it.
func parseSource(s string) (source, error) {
	scheme, rest, ok := strings.Cut(s, ":")
	switch {
	case !ok:
		return source{}, errors.New("a database is named like sqlite:game.db")
	case scheme != "sqlite":
		return source{}, fmt.Errorf("databases of the kind %.20q are not known here: sqlite:FILE is", scheme)
	case rest == "" || strings.ContainsRune(rest, 0):
		return source{}, errors.New("sqlite: needs the name of a file behind the colon")
	}
	return source{name: s, file: rest, dialect: goose.DialectSQLite3}, nil
}

// open makes the connection pools; nothing is connected yet.
func (s source) open() (write, read *sql.DB, err error) {
	path, err := filepath.Abs(s.file) // the process may change its folder
	if err != nil {
		return nil, nil, err
	}
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") { // C:/...
		path = "/" + path
	}
	dsn := func(params url.Values) string {
		u := url.URL{Scheme: "file", Path: path, RawQuery: params.Encode()}
		return u.String()
	}
	// The writer does not wait in the driver, which would sleep ever longer: see
	// turn.go. With synchronous(FULL) a commit is on the disk when it returns.
	// The pages of a batch lie anywhere: with 16 MB of cache few are read again, and
	// a checkpoint after 4,000 pages (16 MB) finds many of them written more than once.
	pragmas := []string{"busy_timeout(0)", "synchronous(FULL)", "foreign_keys(1)", "cache_size(-16384)", "wal_autocheckpoint(4000)"}
	write, err = sql.Open("sqlite", dsn(url.Values{"_txlock": {"immediate"}, "_pragma": pragmas}))
	if err != nil {
		return nil, nil, err
	}
	write.SetMaxOpenConns(1)
	read, err = sql.Open("sqlite", dsn(url.Values{"_pragma": {fmt.Sprintf("busy_timeout(%d)", readPatience.Milliseconds()), "query_only(1)"}}))
	if err != nil {
		write.Close()
		return nil, nil, err
	}
	read.SetMaxOpenConns(readers)
	read.SetMaxIdleConns(readers)
	return write, read, nil
}
