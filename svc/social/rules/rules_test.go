package rules

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

func TestText(t *testing.T) {
	for _, c := range []struct{ text, wrong string }{
		{"hello", ""},
		{"你好，世界", ""},
		{strings.Repeat("世", 10), ""}, // 30 bytes
		{strings.Repeat("x", 10), ""},
		{"👩\u200d👩\u200d👧", ""}, // joined by U+200D
		{"🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", ""}, // with tags
		{"می\u200cخواهم", ""},
		{" x ", ""},
		{"\uFFFD", ""},
		{"", "it is empty"},
		{"   ", "it is empty"},
		{"\u3000\u00a0", "it is empty"},
		{"\u200d\u200e", "it is empty"},
		{strings.Repeat("世", 11), "it has 11 characters, at most 10 are allowed"},
		{strings.Repeat("x", 11), "it has 11 characters, at most 10 are allowed"},
		{strings.Repeat("x", 1000), "it has 1000 characters, at most 10 are allowed"},
		{"a\tb", "it has the control character U+0009"},
		{"a\nb", "it has the control character U+000A"},
		{"\x1b[31m", "it has the control character U+001B"},
		{"\x7f", "it has the control character U+007F"},
		{"\u0085", "it has the control character U+0085"},
		{"a\u202eb", "it has the control character U+202E"},
		{"a\u2066b", "it has the control character U+2066"},
		{"a\u2028b", "it has the control character U+2028"},
		{"\ufeff", "it has the control character U+FEFF"},
		{"\ufdd0", "it has the control character U+FDD0"},
		{"a\xff", "it is no valid UTF-8"},
	} {
		if got := words(Text(c.text, 10)); got != c.wrong {
			t.Errorf("%q: %q, want %q", c.text, got, c.wrong)
		}
	}
}

func words(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestRoom(t *testing.T) {
	const form = "a room's name is of letters and digits, with - and _ between them"
	for _, c := range []struct{ name, wrong string }{
		{"lobby", ""},
		{"2nd_floor-x", ""},
		{"大厅", ""},
		{"हिन्दी", ""},
		{strings.Repeat("厅", MaxRoom), ""},
		{"", "a room has a name"},
		{strings.Repeat("x", MaxRoom+1), "a room's name has at most 32 characters"},
		{strings.Repeat("x", 1000), "a room's name has at most 32 characters"},
		{"Lobby", `a room's name has no capitals: try "lobby"`},
		{"a b", form},
		{"-a", form},
		{"a/b", form},
		{"a\x00", form},
		{"\u0301a", form},
		{"\xff", form},
		{"e\u0301", "a room's name is written with the usual form of each character (NFKC)"},
		{"ｌｏｂｂｙ", "a room's name is written with the usual form of each character (NFKC)"},
	} {
		if got := words(Room(c.name)); got != c.wrong {
			t.Errorf("%q: %q, want %q", c.name, got, c.wrong)
		}
	}
}

func TestWords(t *testing.T) {
	w, err := NewWords([]string{"darn", "Bad Luck", "坏蛋", "ass", "assassin", "c++"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ text, want string }{
		{"hello", "hello"},
		{"darn", "****"},
		{"DARN it, Darn!", "**** it, ****!"},
		{"ｄａｒｎ", "****"},
		{"darning undarned", "darning undarned"},
		{"classes ass assassin", "classes *** ********"},
		{"bad luck, bad  luck", "********, bad  luck"},
		{"你坏蛋啊", "你**啊"},
		{"c++", "***"},
		{"c+++", "***+"},
		{"dar", "dar"},
		{"", ""},
	} {
		got, found := w.Mask(c.text)
		if got != c.want || found != (c.want != c.text) {
			t.Errorf("%q: %q %v, want %q", c.text, got, found, c.want)
		}
	}
	if got, found := new(Words).Mask("darn"); got != "darn" || found {
		t.Errorf("no words: %q %v", got, found)
	}
	for _, bad := range [][]string{{""}, {" x"}, {"x", "y\n"}, {strings.Repeat("x", 65)}, {"\xff"}, make([]string, MaxWords+1)} {
		if _, err := NewWords(bad); err == nil {
			t.Errorf("%.60q is taken", bad)
		}
	}
}

// IDs grow with the time, and on where time stands still or goes back; two
// services never make the same.
func TestIDs(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	a, b := mustIDs(t, 0), mustIDs(t, MaxIndex)
	var all []uint64
	last := map[*IDs]uint64{}
	for i, step := range []time.Duration{0, 0, time.Millisecond, -time.Hour, 0, 2 * time.Hour, 0} {
		now = now.Add(step)
		for _, g := range []*IDs{a, b, a} {
			id := g.Next(now)
			if id <= last[g] || id > 1<<63-1 {
				t.Fatalf("step %d: %d after %d", i, id, last[g])
			}
			last[g] = id
			all = append(all, id)
		}
	}
	slices.Sort(all)
	if n := len(slices.Compact(slices.Clone(all))); n != len(all) {
		t.Errorf("%d IDs are %d", len(all), n)
	}
	if early, late := a.Next(now.Add(time.Minute)), b.Next(now.Add(time.Minute+time.Millisecond)); early >= late {
		t.Errorf("%d is not before %d", early, late)
	}
	if id := mustIDs(t, 5).Next(time.Time{}); id>>(indexBits+sequenceBits) != 0 {
		t.Errorf("before 2026: %d", id)
	}
	g := mustIDs(t, 1)
	for before, i := uint64(0), 0; i < 3<<sequenceBits; i++ { // more than a millisecond has
		id := g.Next(now)
		if id <= before || id>>sequenceBits&MaxIndex != 1 {
			t.Fatalf("%d after %d", id, before)
		}
		before = id
	}
	for _, index := range []int{-1, MaxIndex + 1} {
		if _, err := NewIDs(index); err == nil {
			t.Errorf("index %d is taken", index)
		}
	}
}

func mustIDs(t *testing.T, index int) *IDs {
	t.Helper()
	g, err := NewIDs(index)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func FuzzText(f *testing.F) {
	for _, s := range []string{"hello", "a\tb", "世界", "\xff", "\u202e", ""} {
		f.Add(s, 5)
	}
	f.Fuzz(func(t *testing.T, s string, most int) {
		if most < 0 || most > 1000 || Text(s, most) != nil {
			return
		}
		if !utf8.ValidString(s) || utf8.RuneCountInString(s) > most || strings.TrimSpace(s) == "" || strings.ContainsFunc(s, unicode.IsControl) {
			t.Errorf("%q is taken for at most %d", s, most)
		}
	})
}

func FuzzRoom(f *testing.F) {
	for _, s := range []string{"lobby", "大厅", "Lobby", "a b", "e\u0301", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if Room(name) != nil {
			return
		}
		if !utf8.ValidString(name) || len(name) > MaxRoom*4 || strings.ContainsAny(name, " /\x00") || strings.ContainsFunc(name, unicode.IsControl) || strings.ToLower(name) != name {
			t.Errorf("%q is taken", name)
		}
	})
}

func FuzzWords(f *testing.F) {
	f.Add("darn,坏蛋", "darn 你坏蛋")
	f.Add("a,b c", "\xffA b c")
	f.Fuzz(func(t *testing.T, list, text string) {
		w, err := NewWords(strings.Split(list, ","))
		if err != nil || strings.Contains(list, "*") {
			return
		}
		masked, found := w.Mask(text)
		if utf8.RuneCountInString(masked) != utf8.RuneCountInString(text) || found == (masked == text) {
			t.Errorf("%q in %q: %q %v", list, text, masked, found)
		}
		if again, found := w.Mask(masked); found {
			t.Errorf("%q in %q: %q, then %q", list, text, masked, again)
		}
	})
}

func BenchmarkText(b *testing.B) {
	text := strings.Repeat("hello world, ", 5)
	b.ReportAllocs()
	for b.Loop() {
		if Text(text, 500) != nil {
			b.Fatal()
		}
	}
}

func BenchmarkWords(b *testing.B) {
	var list []string
	for i := range 1000 {
		list = append(list, fmt.Sprintf("word%d", i))
	}
	w, err := NewWords(list)
	if err != nil {
		b.Fatal(err)
	}
	text := strings.Repeat("hello world, ", 5)
	b.ReportAllocs()
	for b.Loop() {
		w.Mask(text)
	}
}
