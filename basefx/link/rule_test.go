package link

import (
	"strings"
	"testing"
)

func TestRule(t *testing.T) {
	cases := []struct {
		rule    string
		allowed string // of game and hub in groups dev and blue
	}{
		{"", "game@dev hub@dev"},
		{"  ", "game@dev hub@dev"},
		{"blue", "game@blue hub@blue"},
		{"*", "game@dev game@blue hub@dev hub@blue"},
		{"game:blue", "game@blue hub@dev"},
		{"game:blue|blue", "game@blue hub@blue"},
		{" blue | game:dev ", "game@dev hub@blue"},
		{"game:*", "game@dev game@blue hub@dev"},
		{"nobody", ""},
	}
	for _, c := range cases {
		r, err := ParseRule(c.rule, "dev")
		if err != nil {
			t.Errorf("%q: %v", c.rule, err)
			continue
		}
		var allowed []string
		for _, s := range []string{"game@dev", "game@blue", "hub@dev", "hub@blue"} {
			if name, group, _ := strings.Cut(s, "@"); r.Allows(name, group) {
				allowed = append(allowed, s)
			}
		}
		if got := strings.Join(allowed, " "); got != c.allowed {
			t.Errorf("%q allows %q, want %q", c.rule, got, c.allowed)
		}
	}
}

// The error names the entry.
func TestRuleErrors(t *testing.T) {
	for rule, words := range map[string]string{
		"|":                   `"" is neither name:group nor group`,
		"game:":               `"game:" is neither`,
		":dev":                `":dev" is neither`,
		"dev,blue":            `"dev,blue" is neither`,
		"game:blue:red":       `"game:blue:red" is neither`,
		"dev|blue":            "dev and blue cannot both be the group for all other services",
		"game:dev|game:blue":  "service game is named twice",
		"game:dev|ga me:blue": `"ga me:blue" is neither`,
	} {
		if _, err := ParseRule(rule, "dev"); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%q: %v, want %q", rule, err, words)
		}
	}
}

// A rule that parses means the same with its entries turned around.
func FuzzParseRule(f *testing.F) {
	for _, s := range []string{"", "dev", "*", "game:blue|dev", "game:*|hub:dev|*", "a:b:c", "|||"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRule(s, "own")
		if err != nil {
			return
		}
		var turned []string
		for _, entry := range strings.Split(s, "|") {
			turned = append([]string{entry}, turned...)
		}
		again, err := ParseRule(strings.Join(turned, "|"), "own")
		if err != nil {
			t.Fatalf("%q turned around: %v", s, err)
		}
		for _, name := range []string{"game", "hub", "a", "x"} {
			for _, group := range []string{"own", "dev", "blue", "b"} {
				if r.Allows(name, group) != again.Allows(name, group) {
					t.Fatalf("%q: %s@%s", s, name, group)
				}
			}
		}
	})
}
