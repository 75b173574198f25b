package growth

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write what the scripts show into them")

// The scripts in testdata are read by people: each line that begins with > is
// done, what follows is how the player is then, or why not.
//
//	> tables start=100 hours=2 0:60 10:90   price:income of each level; a new player
//	> at 1h30m                              the clock shows this, since the beginning
//	> upgrade, claim, name NAME, look
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(text))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != strings.ReplaceAll(string(text), "\r\n", "\n") {
				t.Errorf("it goes like this (go test -update writes it):\n%s", got)
			}
		})
	}
}

func play(t *testing.T, script string) string {
	begin := time.UnixMilli(0)
	tables, now := Defaults(), begin
	p := tables.New("alice", now)
	var out strings.Builder
	for line := range strings.Lines(script) {
		line = strings.TrimRight(line, "\r\n")
		if strings.HasPrefix(line, "#") || line == "" {
			fmt.Fprintln(&out, line)
		}
		cmd, is := strings.CutPrefix(line, "> ")
		if !is {
			continue
		}
		fmt.Fprintln(&out, line)
		name, arg, _ := strings.Cut(cmd, " ")
		var err error
		switch name {
		case "tables":
			tables = Tables{}
			if _, err := fmt.Sscanf(arg, "start=%d hours=%d", &tables.Start, &tables.Hours); err != nil {
				t.Fatal(err)
			}
			for _, f := range strings.Fields(arg)[2:] {
				var price, income int64
				if _, err := fmt.Sscanf(f, "%d:%d", &price, &income); err != nil {
					t.Fatal(err)
				}
				if len(tables.Income) > 0 {
					tables.Prices = append(tables.Prices, price)
				}
				tables.Income = append(tables.Income, income)
			}
			if err := tables.Validate(); err != nil {
				t.Fatal(err)
			}
			p = tables.New("alice", now)
		case "at":
			d, err := time.ParseDuration(arg)
			if err != nil {
				t.Fatal(err)
			}
			now = begin.Add(d)
			continue
		case "upgrade":
			p, err = tables.Upgrade(p, now)
		case "claim":
			p, err = tables.Claim(p, now)
		case "name":
			p, err = Rename(p, arg)
		case "look":
			p = tables.Earn(p, now)
		default:
			t.Fatalf("unknown: %s", line)
		}
		if err != nil {
			fmt.Fprintf(&out, "no: %v\n", err)
			continue
		}
		fmt.Fprintf(&out, "%s: level %d, %d gold, %d unclaimed, next level %d\n", p.Name, p.Level, p.Money, p.Unclaimed, tables.Price(p))
	}
	return out.String()
}
