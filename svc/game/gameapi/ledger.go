// Package gameapi is what other programs may know of the game: its ledger, to
// read. There is one file.
package gameapi

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/davyxu/cellmesh_demo/svc/game/store"
	"github.com/davyxu/cellmesh_demo/util/sqldb"
)

// Ledger is all changes of all players, in the database of the games. Games may
// run meanwhile.
type Ledger struct{ db *sqldb.DB }

// State is what a player has.
type State struct{ Level, Money int64 }

// Change is a line of the ledger.
type Change struct {
	RequestID     string // of the client's request
	What          string // for instance "upgraded"
	Revision      int64  // that it made
	Before, After State
}

// OpenLedger opens the database that games have as -database. Tables that are
// older than this program are brought up to date, as a game would do.
func OpenLedger(ctx context.Context, source string) (*Ledger, error) {
	if file, is := strings.CutPrefix(source, "sqlite:"); is {
		if _, err := os.Stat(file); err != nil { // else it would be made
			return nil, fmt.Errorf("open the ledger: %w", err)
		}
	}
	db, err := sqldb.Open(source, sqldb.Options{}, store.Tables())
	if err != nil {
		return nil, fmt.Errorf("open the ledger: %w", err)
	}
	if err := db.Prepare(ctx); err != nil {
		db.Close()
		return nil, fmt.Errorf("open the ledger: %w", err)
	}
	return &Ledger{db}, nil
}

// Close closes the database.
func (l *Ledger) Close() error { return l.db.Close() }

// Newest are the newest changes of a player, at most so many, oldest first.
func (l *Ledger) Newest(ctx context.Context, uid string, most int) ([]Change, error) {
	_, entries, err := store.NewSQL(l.db).Look(ctx, uid, most)
	if err != nil {
		return nil, err
	}
	var all []Change
	for _, e := range slices.Backward(entries) {
		all = append(all, Change{e.RequestID, e.What, e.Revision, State{e.Before.Level, e.Before.Money}, State{e.After.Level, e.After.Money}})
	}
	return all, nil
}
