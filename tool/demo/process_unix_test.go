//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// shell makes a demo whose program of this name is a shell script.
func shell(t *testing.T, name, script string) (*demo, func() string) {
	t.Helper()
	home := t.TempDir()
	out, err := os.Create(filepath.Join(home, "said"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	d := &demo{root: home, home: home, bin: home, say: newTeller(out), phase: serving}
	if err := os.Mkdir(filepath.Join(home, "log"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return d, func() string {
		text, err := os.ReadFile(out.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
}

// A child that does not go is killed after the timeout, and that is told.
func TestStubbornChild(t *testing.T) {
	d, said := shell(t, "game", "trap '' TERM\necho trapped\nread line\nexec sleep 60\n")
	p, err := d.spawn("game-0", "game")
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); !strings.Contains(p.log.tail(1), "trapped"); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the script does not run")
		}
	}
	_ = d.setPhase(stopping)
	p.stop(50*time.Millisecond, nil, d.say)
	if !p.ended() || !strings.Contains(said(), "game-0 did not stop within 50ms and was killed") {
		t.Errorf("ended: %v, said %q", p.ended(), said())
	}
}

// One that stops with an error is told with its reason; a hurry is not waited
// out.
func TestChildThatStopsBadly(t *testing.T) {
	d, said := shell(t, "game", "trap 'echo cannot save >&2; exit 3' TERM\necho trapped\nwhile :; do sleep 0.01; done\n")
	p, err := d.spawn("game-0", "game")
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); !strings.Contains(p.log.tail(1), "trapped"); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the script does not run")
		}
	}
	_ = d.setPhase(stopping)
	p.stop(stopTimeout, nil, d.say)
	if text := said(); !strings.Contains(text, "it did not stop well: game-0 (pid ") || !strings.Contains(text, "exit status 3") || !strings.Contains(text, "    cannot save") {
		t.Errorf("said %q", text)
	}
}

// A death is told once, with the end of the log and how to start it again.
func TestChildThatDies(t *testing.T) {
	d, said := shell(t, "game", "echo panic: oh no >&2\nexit 2\n")
	p, err := d.spawn("game-0", "game", "-svcindex=0")
	if err != nil {
		t.Fatal(err)
	}
	<-p.done
	p.stop(stopTimeout, nil, d.say)
	text := said()
	for _, want := range []string{"game-0 (pid ", "has ended: exit status 2", "    panic: oh no", "starts it again: go run ./svc/game -svcindex=0"} {
		if strings.Count(text, want) != 1 {
			t.Errorf("%q is not in it once: %s", want, text)
		}
	}
}

func TestMadeByGoRun(t *testing.T) {
	for exe, want := range map[string]bool{
		"/tmp/go-build3110512453/b001/exe/demo": true,
		"/root/.cache/go-build/50/50941f0d24bac83fdf38c65cbcafe003247774c5761e8054a05e5e0eead8763e-d/demo": true,
		"/somewhere/50/50941f0d24bac83fdf38c65cbcafe003247774c5761e8054a05e5e0eead8763e-d/demo":            true,
		"/home/me/go/bin/demo":      false,
		"/home/me/project/bin/demo": false,
	} {
		if got := madeByGoRun(exe); got != want {
			t.Errorf("%s: %v", exe, got)
		}
	}
	// And so it is with the go command at hand.
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":  "module where\n",
		"main.go": "package main\n\nimport \"os\"\n\nfunc main() { exe, _ := os.Executable(); os.Stdout.WriteString(exe) }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the second time from the cache
		cmd := exec.Command("go", "run", ".")
		cmd.Dir = dir
		exe, err := cmd.Output()
		if err != nil || !madeByGoRun(string(exe)) {
			t.Errorf("go run runs %s, %v", exe, err)
		}
	}
}
