//go:build unix

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Every command of the README does what the README says, in the order in which
// it stands there, in a fresh copy of the project. Only the addresses of memsd
// are others, by environment.
func TestReadmeCommands(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "clone")
	copyProject(t, dir)
	git := commitAll(t, dir)
	s := &site{t: t, dir: dir, sdaddr: freeAddr(t)}
	var starting []*process // in terminals of their own: some wait for others
	for _, command := range commands(t, "README.md") {
		t.Log(command)
		if !strings.HasPrefix(command, "go run ./svc/") || strings.Contains(command, " -") {
			for _, p := range starting {
				p.says("ready")
			}
			starting = nil
		}
		switch {
		case command == "go test ./...": // this is it
		case command == "go run ./tool/demo":
			p := s.sh(command)
			p.enter("hello")
			p.prints("hello")
			p.leaves()
		case command == "go run ./svc/client -uid=alice":
			p := s.sh(command)
			p.name = "alice"
			p.chats()
			p.enter("/me")
			p.until(&p.stdout, "say who alice is", func(l string) bool { return hasAll(l, []string{"alice: level 1, 100 gold, "}) })
			p.leaves()
		case strings.HasPrefix(command, "cd proto && "), strings.Contains(command, " -cmd="), strings.HasPrefix(command, "go run ./svc/robot "), strings.HasPrefix(command, "go run ./tool/player "), strings.HasPrefix(command, "go run ./tool/moderate "),
			command == "go run ./tool/status", strings.HasPrefix(command, "go run ./tool/notice "):
			p := s.sh(command)
			if code := p.wait(); code != 0 || p.stdout.text() == "" {
				t.Fatalf("%s: exit code %d, output %q, errors %q", command, code, p.stdout.text(), p.stderr.text())
			}
		case strings.HasPrefix(command, "go run ./svc/"):
			starting = append(starting, s.sh(command, "CELLMESH_LIFELINE=true"))
		default:
			t.Errorf("README.md has a command that this test does not know how to check: %s", command)
		}
	}
	if changed := git("status", "--porcelain", "--", ".", ":!persist.json"); changed != "" { // that one is memsd's data
		t.Errorf("git status says\n%s", changed)
	}
}

// The Chinese README has the same commands, code and tables of files.
func TestReadmesAgree(t *testing.T) {
	en, zh := fences(t, "README.md"), fences(t, "README_zh.md")
	if len(en) != len(zh) {
		t.Fatalf("README.md has %d blocks of code, README_zh.md %d", len(en), len(zh))
	}
	for i := range en {
		if en[i].language != "" && en[i] != zh[i] { // pictures are translated
			t.Errorf("block %d differs:\n%s\n--- and\n%s", i+1, en[i].text, zh[i].text)
		}
	}
}

// sh runs a command line of a shell in the project's copy.
func (s *site) sh(command string, env ...string) *process {
	s.t.Helper()
	cmd := exec.Command("sh", "-c", command)
	cmd.Dir = s.dir
	cmd.Env = slices.Concat(os.Environ(), env, []string{"CELLMESH_SDADDR=" + s.sdaddr, "CELLMESH_ADDR=" + s.sdaddr, "CELLMESH_TIMEOUT=" + deadline.String()}) // the last is routegen's
	p := start(s.t, command, cmd)
	p.limit = buildDeadline
	s.t.Cleanup(func() { // the program is a child of go's, which a signal to sh does not reach
		p.stdin.Close()
		p.wait()
	})
	return p
}

type fence struct{ language, text string }

// fences are the blocks of code of a Markdown file.
func fences(t *testing.T, file string) []fence {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(), file))
	if err != nil {
		t.Fatal(err)
	}
	var all []fence
	open := -1
	for line := range strings.Lines(string(text)) {
		language, mark := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case mark && open < 0:
			all = append(all, fence{language: language})
			open = len(all) - 1
		case mark:
			open = -1
		case open >= 0:
			all[open].text += line
		}
	}
	return all
}

// commands are the lines of a file's shell blocks.
func commands(t *testing.T, file string) []string {
	t.Helper()
	var all []string
	for _, f := range fences(t, file) {
		if f.language == "sh" {
			all = append(all, strings.Split(strings.TrimSpace(f.text), "\n")...)
		}
	}
	return all
}
