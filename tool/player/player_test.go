package main

import (
	"errors"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/davyxu/cellmesh_demo/svc/game/growth"
	"github.com/davyxu/cellmesh_demo/svc/game/store"
	"github.com/davyxu/cellmesh_demo/util/sqldb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestShow(t *testing.T) {
	source := "sqlite:" + filepath.Join(t.TempDir(), "players.db")
	var out strings.Builder
	if err := run(t.Context(), []string{"-database=" + source, "-uid=alice"}, &out); err == nil || !strings.Contains(err.Error(), "no such file") && !strings.Contains(err.Error(), "cannot find") {
		t.Errorf("no file: %v", err)
	}
	db, err := sqldb.Open(source, sqldb.Options{}, store.Tables())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	h := store.Hold(store.NewSQL(db), store.Owner{UID: "alice", Epoch: 1, Load: "x"})
	rules := growth.Defaults()
	at := time.UnixMilli(1_700_000_000_000)
	change := func(id, what string, rule func(growth.Player) (growth.Player, error)) {
		t.Helper()
		var no *growth.Refusal
		if _, err := h.Change(t.Context(), id, what, at, rules.New("alice", at), rule); err != nil && !errors.As(err, &no) {
			t.Fatal(err)
		}
		at = at.Add(time.Hour)
	}
	change("r1", "upgraded", func(p growth.Player) (growth.Player, error) { return rules.Upgrade(p, at) })
	change("r2", "claimed", func(p growth.Player) (growth.Player, error) { return rules.Claim(p, at) })
	change("r3", "renamed", func(p growth.Player) (growth.Player, error) { return growth.Rename(p, "Al") })
	if err := run(t.Context(), []string{"-database=" + source, "-uid=alice", "-n=3"}, &out); err != nil {
		t.Fatal(err)
	}
	want := `alice, called "Al": level 1, 700 gold, 0 more were earned until 2023-11-14 23:13:20.000Z; revision 3
refused lately: upgraded, request "r1": needs 120 gold, you have 100
revision  time                      what     level   gold        name             request
3         2023-11-15 00:13:20.000Z  renamed  1       700         "alice" -> "Al"  "r3"
2         2023-11-14 23:13:20.000Z  claimed  1       100 -> 700  "alice"          "r2"
1         2023-11-14 22:13:20.000Z  created  0 -> 1  0 -> 100    "" -> "alice"    "#created"
`
	got := regexp.MustCompile(` +\n`).ReplaceAllString(out.String(), "\n")
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	for _, args := range [][]string{{}, {"-uid=a", "x"}, {"-uid=a", "-n=-1"}, {"-uid=nobody", "-database=" + source}, {"-uid=a", "-database=mysql:"}} {
		if err := run(t.Context(), args, &out); err == nil {
			t.Errorf("%v: no error", args)
		}
	}
}
