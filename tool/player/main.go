// Player shows a player and the last changes, for support:
//
//	go run ./tool/player -uid=alice
//
// It reads the database, whether games run or not, and changes no player. Tables
// that are older than this program are brought up to date, as a game would do.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/peterbourgon/ff/v3" // flags over environment, as in every program of this project

	"github.com/davyxu/cellmesh_demo/svc/game/store"
	"github.com/davyxu/cellmesh_demo/util/sqldb"
)

func main() {
	err := run(context.Background(), os.Args[1:], os.Stdout)
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "player:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("player", flag.ContinueOnError)
	fs.SetOutput(out)
	source := fs.String("database", "sqlite:cellmesh.db", "the database of login and game")
	uid := fs.String("uid", "", "whom to show")
	n := fs.Int("n", 20, "how many changes to show, the newest")
	if err := ff.Parse(fs, args, ff.WithEnvVarPrefix("CELLMESH")); err != nil {
		return err
	}
	switch {
	case fs.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", fs.Arg(0))
	case *uid == "":
		return errors.New("whom? say -uid=NAME")
	case *n < 0:
		return fmt.Errorf("-n=%d: cannot show fewer than none", *n)
	}
	if file, is := strings.CutPrefix(*source, "sqlite:"); is {
		if _, err := os.Stat(file); err != nil { // else it would be made
			return fmt.Errorf("-database: %w", err)
		}
	}
	db, err := sqldb.Open(*source, sqldb.Options{}, store.Tables())
	if err != nil {
		return fmt.Errorf("-database: %w", err)
	}
	defer db.Close()
	if err := db.Prepare(ctx); err != nil {
		return err
	}
	p, changes, err := store.NewSQL(db).Look(ctx, *uid, *n)
	if err != nil && !errors.Is(err, store.ErrBroken) { // the changes of a broken one are all the more of interest
		return err
	}
	if err == nil {
		fmt.Fprintf(out, "%s, called %q: level %d, %d gold, %d more were earned until %s; revision %d\n",
			*uid, p.Name, p.Level, p.Money, p.Unclaimed, show(time.UnixMilli(p.Since)), p.Revision)
		for _, r := range p.Refused {
			fmt.Fprintf(out, "refused lately: %s, request %q: %s\n", r.What, r.RequestID, r.Text)
		}
	}
	return errors.Join(table(out, changes), err)
}

// table shows changes, the newest first.
func table(out io.Writer, changes []store.Entry) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "revision\ttime\twhat\tlevel\tgold\tname\trequest")
	for _, e := range changes {
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\t%q\n", e.Revision, show(e.At), e.What,
			became(e.Before.Level, e.After.Level), became(e.Before.Money, e.After.Money),
			became(fmt.Sprintf("%q", e.Before.Name), fmt.Sprintf("%q", e.After.Name)), e.RequestID)
	}
	return t.Flush()
}

func show(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05.000Z") }

func became[T comparable](before, after T) string {
	if before == after {
		return fmt.Sprint(after)
	}
	return fmt.Sprint(before, " -> ", after)
}
