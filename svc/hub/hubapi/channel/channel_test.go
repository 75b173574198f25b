package channel

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCheck(t *testing.T) {
	for name, kind := range map[string]string{
		"game": "channel", "game#0@dev": "channel", "room.3.topic": "channel", "房间.3": "channel", strings.Repeat("x", Max): "channel",
		"*": "pattern", ">": "pattern", "a.*": "pattern", "*.b": "pattern", "a.*.c.>": "pattern",
		"": "", ".": "", "a.": "", ".a": "", "a..b": "", "a b": "", "a\n": "", "a*": "", "a.>.b": "", ">>": "", "a>": "", "\xff": "", strings.Repeat("x", Max+1): "",
	} {
		if err := Check(name); (err == nil) != (kind == "channel") {
			t.Errorf("Check(%q): %v", name, err)
		}
		if err := CheckPattern(name); (err == nil) != (kind != "") {
			t.Errorf("CheckPattern(%q): %v", name, err)
		}
		if IsPattern(name) != (kind == "pattern") && kind != "" {
			t.Errorf("IsPattern(%q)", name)
		}
	}
}

// slowMatch says the same in another way.
func slowMatch(pattern, name string) bool {
	var words []string
	for _, w := range strings.Split(pattern, ".") {
		switch w {
		case "*":
			words = append(words, `[^.]+`)
		case ">":
			words = append(words, `.+`)
		default:
			words = append(words, regexp.QuoteMeta(w))
		}
	}
	return regexp.MustCompile(`(?s)\A` + strings.Join(words, `\.`) + `\z`).MatchString(name)
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"game", "game", true}, {"game", "games", false}, {"game", "game.x", false}, {"game.x", "game", false},
		{"*", "game", true}, {"*", "game.x", false}, {">", "game", true}, {">", "game.x.y", true},
		{"game.*", "game.x", true}, {"game.*", "game", false}, {"game.*", "game.x.y", false},
		{"game.>", "game.x.y", true}, {"game.>", "game", false}, {"*.x", "game.x", true}, {"*.*.z", "x.y.z", true}, {"*.*.z", "x.z", false},
	} {
		if Match(c.pattern, c.name) != c.want || slowMatch(c.pattern, c.name) != c.want {
			t.Errorf("%q matches %q: not %v", c.pattern, c.name, c.want)
		}
	}
}

// Whatever passes the checks is matched as the slow way does, and names that
// differ do not match each other.
func FuzzMatch(f *testing.F) {
	for _, s := range []string{"a.*.c|a.b.c", "a.>|a.b.c", ">|x", "*|x.y", "a.b|a.b", "a.*|a.", "*.>|a.b", "é.*|é.b"} {
		pattern, name, _ := strings.Cut(s, "|")
		f.Add(pattern, name)
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if CheckPattern(pattern) != nil || Check(name) != nil {
			return
		}
		if Match(pattern, name) != slowMatch(pattern, name) {
			t.Errorf("%q matches %q: %v", pattern, name, Match(pattern, name))
		}
		if !IsPattern(pattern) && Match(pattern, name) != (pattern == name) {
			t.Errorf("%q is no pattern", pattern)
		}
	})
}

// The table finds whom a walk through all patterns finds, whatever was added and
// removed.
func FuzzTable(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, a, b uint64) {
		random := rand.New(rand.NewPCG(a, b))
		words := []string{"a", "b", "*", "c"}
		pick := func(wild bool) string {
			var name []string
			for range 1 + random.IntN(3) {
				if w := words[random.IntN(len(words))]; w != "*" || wild {
					name = append(name, w)
				} else {
					name = append(name, "d")
				}
			}
			if wild && random.IntN(3) == 0 {
				name = append(name, ">")
			}
			return strings.Join(name, ".")
		}
		var table Table[int]
		model := map[int]map[string]bool{}
		for range 200 {
			who, pattern := random.IntN(5), pick(true)
			if model[who] == nil {
				model[who] = map[string]bool{}
			}
			switch random.IntN(8) {
			case 0:
				table.RemoveAll(who)
				delete(model, who)
			case 1, 2:
				if table.Remove(pattern, who) != model[who][pattern] {
					t.Fatal("Remove lies")
				}
				delete(model[who], pattern)
			default:
				if table.Add(pattern, who) == model[who][pattern] {
					t.Fatal("Add lies")
				}
				model[who][pattern] = true
			}
			name := pick(false)
			var want []int
			for who, patterns := range model {
				if slices.ContainsFunc(slices.Collect(maps.Keys(patterns)), func(p string) bool { return Match(p, name) }) {
					want = append(want, who)
				}
			}
			slices.Sort(want)
			if got := slices.Sorted(slices.Values(table.Match(name))); !slices.Equal(got, want) {
				t.Fatalf("%s: %v, want %v", name, got, want)
			}
		}
		all := map[string]bool{}
		for _, patterns := range model {
			maps.Copy(all, patterns)
		}
		if table.Len() != len(all) {
			t.Errorf("%d patterns, want %d", table.Len(), len(all))
		}
	})
}

// What many publish on costs no memory for ever.
func TestTableForgets(t *testing.T) {
	var table Table[int]
	table.Add("room.>", 1)
	for i := range 3 * maxKnown {
		if got := table.Match(fmt.Sprint("room.", i)); len(got) != 1 {
			t.Fatal(got)
		}
	}
	if len(table.known) > maxKnown {
		t.Errorf("%d channels are known", len(table.known))
	}
}

func TestTableAtOnce(t *testing.T) {
	var table Table[int]
	var all sync.WaitGroup
	for who := range 4 {
		all.Go(func() {
			for i := range 500 {
				table.Add("a.*", who)
				if got := table.Match("a.b"); !slices.Contains(got, who) {
					t.Errorf("%d is not among %v", who, got)
				}
				if i%2 == 0 {
					table.Remove("a.*", who)
				}
			}
		})
	}
	all.Wait()
}

// Looking up a channel that is in use allocates nothing, nor does checking it.
func TestAllocations(t *testing.T) {
	var table Table[int]
	table.Add("room.*", 1)
	name := string([]byte("room.3"))
	if n := testing.AllocsPerRun(100, func() {
		if Check(name) != nil || len(table.Match(name)) != 1 {
			t.Error("not found")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
