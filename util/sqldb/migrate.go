package sqldb

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"regexp"
	"time"

	"github.com/pressly/goose/v3" // the most used of the migration libraries that embed
)

// Migrations are the tables of one user of a database, as SQL files that lead
// from each version to the next: 00001_first.sql, 00002_add_x.sql, in the format
// of github.com/pressly/goose. A file that was released is never changed again.
type Migrations struct {
	Name  string // of this user: lower-case letters; begins the name of its version table
	Files fs.FS  // with the SQL files at its root
}

// Embedded are the migrations in the folder tables of embedded files.
func Embedded(name string, files embed.FS) Migrations {
	sub, err := fs.Sub(files, "tables")
	if err != nil {
		panic(err) // impossible: the folder's name is a good one
	}
	return Migrations{Name: name, Files: sub}
}

var migrationsName = regexp.MustCompile(`^[a-z]{1,32}$`)

// preparePatience is how long a process waits while others prepare.
const preparePatience = 30 * time.Second

// Prepare brings the tables up to date; several processes may do it at once.
// Before it has succeeded, Write and Read fail; afterwards it does nothing. The
// error wraps ErrUnavailable if it may be tried again, or ErrNewer.
func (db *DB) Prepare(ctx context.Context) error {
	db.preparing.Lock()
	defer db.preparing.Unlock()
	if db.unready.Load() == nil {
		return nil
	}
	err := unavailable(db.prepare(ctx))
	if err != nil {
		err = fmt.Errorf("prepare %s: %w", db.source.name, err)
		db.unready.Store(&err)
		return err
	}
	db.unready.Store(nil)
	return nil
}

func (db *DB) prepare(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, preparePatience)
	defer cancel()
	defer func() {
		if err != nil && ctx.Err() != nil { // interrupted, in whatever words
			err = fmt.Errorf("%w: %w", errLocked, err)
		}
	}()
	if err := db.turn.take(ctx); err != nil {
		return err
	}
	defer db.turn.give()
	// Write-ahead: readers do not wait for writers, and a commit syncs one file.
	// The file itself remembers it.
	if err := db.patiently(ctx, func() error { _, err := db.write.ExecContext(ctx, "PRAGMA journal_mode = WAL"); return err }); err != nil {
		return err
	}
	for _, set := range db.sets {
		if err := db.patiently(ctx, func() error { return db.migrate(ctx, set) }); err != nil {
			return fmt.Errorf("tables of %s: %w", set.Name, err)
		}
	}
	return nil
}

// patiently repeats f while somebody else has the database.
func (db *DB) patiently(ctx context.Context, f func() error) error {
	for {
		err := f()
		if !isBusy(err) {
			return err
		}
		select {
		case <-time.After(lockLook):
		case <-ctx.Done():
			return err
		}
	}
}

func (db *DB) migrate(ctx context.Context, set Migrations) error {
	p, err := goose.NewProvider(db.source.dialect, db.write, set.Files,
		goose.WithTableName(set.Name+"_version"), goose.WithDisableGlobalRegistry(true), goose.WithSlog(slog.New(slog.DiscardHandler)))
	if err != nil {
		return err
	}
	have, want, err := p.GetVersions(ctx)
	if err != nil {
		return err
	}
	if have > want {
		return fmt.Errorf("%w: its tables are of version %d, known here is %d: run the newer program, or name another database", ErrNewer, have, want)
	}
	_, err = p.Up(ctx)
	return err
}

func checkSets(sets []Migrations) error {
	seen := map[string]bool{}
	for _, set := range sets {
		switch {
		case !migrationsName.MatchString(set.Name):
			return fmt.Errorf("migrations need a name of lower-case letters, not %q", set.Name)
		case seen[set.Name]:
			return fmt.Errorf("two sets of migrations are called %s", set.Name)
		case set.Files == nil:
			return errors.New("migrations without files")
		}
		seen[set.Name] = true
	}
	return nil
}
