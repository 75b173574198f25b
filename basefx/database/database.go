// Package database gives a service the database that -database names: it is
// made, watched over and closed with the process. There is one file.
package database

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/util/discovery"
	"github.com/davyxu/cellmesh_demo/util/sqldb"
)

// retry is how often a database that is away is tried.
const retry = time.Second

// Flags are the flags of a service with a database.
type Flags struct {
	Source string
}

// Register adds the flags to fs.
func (f *Flags) Register(fs *flag.FlagSet) {
	fs.StringVar(&f.Source, "database", "sqlite:cellmesh.db", "where logins, players and chat are kept: the same for all logins, games and socials")
}

// Open gives the service its database, with the tables of the given users. The
// process is not ready before the tables are; while the database is away it is
// tried again, and what is wrong is said. A database of a newer program stops
// the process. For Start only.
func Open(app *basefx.App, f *Flags, sets ...sqldb.Migrations) (*sqldb.DB, error) {
	db, err := sqldb.Open(f.Source, sqldb.Options{}, sets...)
	if err != nil {
		return nil, fmt.Errorf("-database: %w", err)
	}
	app.Finally(func() {
		if err := db.Close(); err != nil {
			app.Log.Error("database not closed well", "database", db.Name(), "err", err)
		}
	})
	var waits atomic.Pointer[string]
	say := func(text string) { waits.Store(&text) }
	say("its tables are being looked at")
	app.Need("database", func(*discovery.Snapshot) string { return *waits.Load() })
	app.Go("database", func(ctx context.Context) error {
		for {
			err := db.Prepare(ctx)
			switch {
			case err == nil:
				say("")
				app.Recheck()
				return nil
			case !errors.Is(err, sqldb.ErrUnavailable):
				return err
			}
			say(err.Error())
			select {
			case <-time.After(retry):
			case <-ctx.Done():
				return nil
			}
		}
	})
	metrics(app, db)
	return db, nil
}

func metrics(app *basefx.App, db *sqldb.DB) {
	app.Gauge("database_waiting", "Writes that wait for the database.", nil, func() float64 { return float64(db.Stats().Waiting) })
	for _, m := range []struct {
		name, help string
		n          func(sqldb.Stats) int64
	}{
		{"writes", "Writes that are on the disk", func(s sqldb.Stats) int64 { return s.Writes }},
		{"commits", "Transactions, each of one write or more", func(s sqldb.Stats) int64 { return s.Commits }},
		{"failed", "Writes that failed", func(s sqldb.Stats) int64 { return s.Failed }},
		{"refused", "Writes refused because too many waited", func(s sqldb.Stats) int64 { return s.Refused }},
	} {
		app.Counter("database_"+m.name+"_total", m.help+".", nil, func() float64 { return float64(m.n(db.Stats())) })
	}
}
