//go:build unix

package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What cfg/LocalFlag.cfg sets is the default, but for one flag, and its examples are flags that
// the programs take.
func TestLocalFlagFile(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root(), "cfg", "LocalFlag.cfg"))
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t)
	for line := range strings.Lines(string(text)) {
		name, value, is := strings.Cut(strings.TrimSpace(line), "=")
		if !is || strings.HasPrefix(name, "#") || name == "login.platforms" { // which is on purpose: see there
			continue
		}
		program, flag, scoped := strings.Cut(name, ".")
		if !scoped {
			program, flag = "hub", name
		}
		p := s.run(program, "-h")
		p.wait()
		if help := p.stdout.text() + p.stderr.text(); !regexp.MustCompile(`(?s)\n  -` + flag + ` \w+\n[^\n]*\(default "?` + regexp.QuoteMeta(value) + `"?\)`).MatchString(help) {
			t.Errorf("%s is set to %q, and that is not its default:\n%s", name, value, help)
		}
	}

	// Every line is uncommented, and followed by one that is wrong: if that is
	// what a program complains about, it has taken all others.
	examples := regexp.MustCompile(`(?m)^#(\S)`).ReplaceAllString(string(text), "$1")
	for _, name := range []string{"memsd", "hub", "login", "agent", "game", "social", "client"} {
		file := filepath.Join(s.dir, name+".cfg")
		if err := os.WriteFile(file, []byte(examples+name+".svcindex=none\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		p := s.run(name, "-flagfile="+file)
		if code := p.wait(); code != 1 || !hasAll(p.stderr.text(), []string{`"svcindex"`}) {
			t.Errorf("%s: exit code %d: %s", name, code, p.stderr.text())
		}
	}
}
