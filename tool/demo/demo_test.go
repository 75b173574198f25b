package main

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOptions(t *testing.T) {
	t.Setenv("CELLMESH_UID", "alice")
	o, err := parseOptions([]string{"-agents", "2", "-dir=elsewhere", "-robots=50"}, io.Discard)
	if err != nil || o.counts["agent"] != 2 || o.counts["game"] != 1 || o.robots != 50 || o.dir != "elsewhere" || o.uid != "alice" || o.commType != "tcp" {
		t.Errorf("%+v, %v", o, err)
	}
	for _, args := range [][]string{{"-socials=0"}, {"-agents=101"}, {"-commtype=x"}, {"-robots=-1"}, {"more"}, {"-unknown"}} {
		if _, err := parseOptions(args, io.Discard); err == nil || !strings.Contains(err.Error(), strings.TrimLeft(args[0], "-")[:1]) {
			t.Errorf("%v: %v", args, err)
		}
	}
	var help bytes.Buffer
	if _, err := parseOptions([]string{"-h"}, &help); !errors.Is(err, flag.ErrHelp) || !strings.Contains(help.String(), "-games") {
		t.Errorf("%v, %s", err, help.String())
	}
}

func TestFindPrograms(t *testing.T) {
	root := t.TempDir()
	for _, file := range []string{"memsd/main.go", "agent/main.go", "agent/gateway/gateway.go", "notes/doc.go", "guild/main.go", "robot/main.go"} {
		file = filepath.Join(root, "svc", filepath.FromSlash(file))
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, nil, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := findPrograms(root)
	if want := []string{"agent", "guild", "memsd"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	if _, err := findPrograms(t.TempDir()); err == nil {
		t.Error("a folder without programs is no error")
	}
}

// Wherever it is, git does not see the demo's folder.
func TestMakeHome(t *testing.T) {
	root := t.TempDir()
	git := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("git", args...)
		cmd.Dir = root
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	git("init", "-q")
	for range 2 {
		if err := makeHome(filepath.Join(root, "a", "b")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := openLog(filepath.Join(root, "a", "b", "log", "x.log")); err != nil {
		t.Fatal(err)
	}
	if seen := git("status", "--porcelain"); seen != "" {
		t.Errorf("git status: %s", seen)
	}
}

func TestProjectRoot(t *testing.T) {
	root, err := projectRoot() // the working directory is tool/demo
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "tool", "demo", "doc.go")); err != nil {
		t.Error(err)
	}
	other := t.TempDir()
	t.Chdir(other)
	if _, err := projectRoot(); err == nil || !strings.Contains(err.Error(), other) {
		t.Errorf("elsewhere: %v", err)
	}
	if err := os.WriteFile("go.mod", []byte("module other\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := projectRoot(); err == nil || !strings.Contains(err.Error(), "without svc/memsd") {
		t.Errorf("in another module: %v", err)
	}
}

func TestBuildProgress(t *testing.T) {
	p := &buildProgress{}
	p.read(strings.NewReader(strings.Join([]string{
		"go: downloading github.com/gorilla/websocket v1.5.3",
		"internal/goarch",
		"github.com/davyxu/cellmesh_demo/basefx",
		"# github.com/davyxu/cellmesh_demo/svc/game",
		"svc/game/main.go:3:1: syntax error",
	}, "\n")))
	if want := "2 packages compiled, now after github.com/davyxu/cellmesh_demo/basefx"; p.now() != want {
		t.Errorf("now %q, want %q", p.now(), want)
	}
	if len(p.trouble) != 2 || !strings.HasPrefix(p.trouble[1], "svc/game/main.go:3:1") {
		t.Errorf("trouble %q", p.trouble)
	}
}

// The tail of a log is of this run only, has so many lines at most, and also
// finds the file after it was begun anew.
func TestLogTail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "game-0.log")
	if err := os.WriteFile(path, []byte("of an earlier run\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	l, err := openLog(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := l.tail(2); got != "    (nothing was logged)" {
		t.Errorf("at first %q", got)
	}
	for _, line := range []string{"one\n", "two\n", "three \xff\n"} {
		if _, err := io.WriteString(l, line); err != nil {
			t.Fatal(err)
		}
	}
	if got := l.tail(2); got != "    two\n    three ?" {
		t.Errorf("two lines are %q", got)
	}
	if got := l.tail(20); strings.Contains(got, "earlier") || strings.Count(got, "\n") != 2 {
		t.Errorf("the run is %q", got)
	}
	if err := os.WriteFile(path, []byte("anew\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := l.tail(20); got != "    anew" {
		t.Errorf("a new file is %q", got)
	}
	if err := os.WriteFile(path, bytes.Repeat([]byte("long line\n"), maxTail), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := l.tail(2); got != "    long line\n    long line" {
		t.Errorf("of a large file %q", got)
	}
}

// What lets clients in goes first, what others stand on goes last, and what
// nobody has thought of goes with the backends.
func TestStages(t *testing.T) {
	d := &demo{}
	for _, name := range []string{"memsd", "agent", "game", "guild", "hub", "login", "social", "agent", "robot"} {
		d.children = append(d.children, &process{program: name})
	}
	var got []string
	for _, stage := range d.stages() {
		var names []string
		for _, p := range stage {
			names = append(names, p.program)
		}
		got = append(got, strings.Join(names, "+"))
	}
	if want := []string{"robot", "login", "agent+agent", "game+guild+social", "hub", "memsd"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
