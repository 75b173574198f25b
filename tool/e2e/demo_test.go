//go:build unix

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A script's lines, and nothing else, come back on standard output; also where
// the environment is set for a cluster of many machines.
func TestDemoInAPipe(t *testing.T) {
	t.Parallel()
	for _, commType := range []string{"tcp", "ws"} {
		dir := newDemoDir(t)
		cmd := demoCommand(dir, "-commtype="+commType, "-uid=script")
		if commType == "ws" {
			cmd.Env = append(cmd.Env, "CELLMESH_SECRET=s", "CELLMESH_SDCA=ca.pem", "CELLMESH_SDCERT=cert.pem", "CELLMESH_SDKEY=key.pem")
		}
		cmd.Stdin = strings.NewReader("hello\nworld\n")
		var said strings.Builder
		cmd.Stderr = &said
		out, err := cmd.Output()
		if err != nil || string(out) != "hello\nworld\n" {
			t.Errorf("%s: standard output %q, %v\n%s", commType, out, err, said.String())
		}
		if !strings.Contains(said.String(), "built ") || !strings.Contains(said.String(), "agent#0@dev") {
			t.Errorf("%s: it does not say what it does:\n%s", commType, said.String())
		}
		leavesNothing(t, dir)
	}
}

// More of some, all in the table, with addresses and logs.
func TestDemoCounts(t *testing.T) {
	t.Parallel()
	l := demo(t, newDemoDir(t), "-agents", "2", "-games", "2", "-socials", "2")
	table := l.table()
	for _, id := range []string{"memsd", "hub#0@dev", "login#0@dev", "agent#0@dev", "agent#1@dev", "game#0@dev", "game#1@dev", "social#0@dev", "social#1@dev"} {
		r, ok := table[id]
		if !ok {
			t.Errorf("%s is not in the table", id)
			continue
		}
		r.logs(t, "ready")
		hasClients := strings.HasPrefix(id, "agent") || strings.HasPrefix(id, "login")
		if (r.clients != "-") != hasClients {
			t.Errorf("%s has clients at %s", id, r.clients)
		}
	}
	if len(table) != 9 {
		t.Errorf("the table is %v", table)
	}
	for _, line := range []string{"one", "two", "three"} {
		l.chats(line)
	}
	l.leaves()
}

// Data and logs are there again at the next run.
func TestDemoRemembers(t *testing.T) {
	t.Parallel()
	dir := newDemoDir(t)
	l := demo(t, dir)
	askMemsd(t, l.table()["memsd"].services, []string{"-cmd=setvalue", "mine", "is here"})
	log := l.table()["game#0@dev"].log
	l.leaves()
	before, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}

	l = demo(t, dir)
	if got := askMemsd(t, l.table()["memsd"].services, []string{"-cmd=getvalue", "mine"}); strings.TrimSpace(got) != "is here" {
		t.Errorf("the value is %q", got)
	}
	l.chats("hello again")
	l.enter("/quit")
	if code := l.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	after, err := os.ReadFile(log)
	if err != nil || !strings.HasPrefix(string(after), string(before)) || len(after) == len(before) {
		t.Errorf("the log was not continued: %v\n%s", err, after)
	}
	leavesNothing(t, dir)
}

// A second demo in the same folder is refused; in another it runs beside.
func TestDemoBesideAnother(t *testing.T) {
	t.Parallel()
	dir := newDemoDir(t)
	first := demo(t, dir)
	first.table()
	second := demo(t, dir)
	if code := second.wait(); code != 1 || !strings.Contains(second.stderr.text(), "another demo is running in "+dir) {
		t.Errorf("exit code %d: %s", code, second.stderr.text())
	}
	other := demo(t, newDemoDir(t))
	other.chats("other")
	first.chats("first")
	if strings.Contains(first.stdout.text(), "other") {
		t.Error("the demos hear each other")
	}
	other.leaves()
	first.leaves()
}

// The death of a child is told with its exit and the end of its log; the rest
// goes on, and the command that is told brings it back.
func TestDemoTellsDeath(t *testing.T) {
	t.Parallel()
	l := demo(t, newDemoDir(t))
	l.chats("before")
	social := l.table()["social#0@dev"]
	social.logs(t, "ready svc=social#0@dev")
	if err := syscall.Kill(social.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	l.says("social-0 (pid ", "has ended: signal: killed; the end of "+social.log)
	l.says("    ", "ready svc=social#0@dev")
	again := l.says("this starts it again: go run ./svc/social ")
	_, args, _ := strings.Cut(again, "go run ./svc/social ")
	cmd := exec.Command(filepath.Join(bin(), "social"), append(strings.Fields(args), "-lifeline")...)
	cmd.Dir = t.TempDir()
	start(t, "social", cmd).ready()
	l.chats("after")
	l.leaves()
}

// A child that dies while everything starts is the end, with its reason.
func TestDemoDeathAtStart(t *testing.T) {
	t.Parallel()
	dir := newDemoDir(t)
	file := filepath.Join(dir, "persist.json")
	if err := os.WriteFile(file, []byte("{ no json"), 0o644); err != nil {
		t.Fatal(err)
	}
	l := demo(t, dir)
	if code := l.wait(); code != 1 || !hasAll(l.stderr.text(), []string{"memsd (pid ", "has ended: exit status 1", "    ", file}) {
		t.Errorf("exit code %d: %s", code, l.stderr.text())
	}
	if text, _ := os.ReadFile(file); string(text) != "{ no json" {
		t.Errorf("the file is now %q", text)
	}
	leavesNothing(t, dir)

	// One that finds its flag wrong, of a program that others wait for.
	cmd := demoCommand(newDemoDir(t))
	cmd.Env = append(cmd.Env, "CELLMESH_HOLD=for ever")
	l = &launcher{process: start(t, "demo", cmd)}
	if code := l.wait(); code != 1 || !hasAll(l.stderr.text(), []string{"agent-0 (pid ", "has ended: exit status 1", "CELLMESH_HOLD"}) {
		t.Errorf("exit code %d: %s", code, l.stderr.text())
	}
}

// The exit code is the client's.
func TestDemoExitCode(t *testing.T) {
	t.Parallel()
	dir := newDemoDir(t)
	cmd := demoCommand(dir)
	cmd.Env = append(cmd.Env, "CELLMESH_PLATFORM=nobody")
	l := start(t, "demo", cmd)
	if code := l.wait(); code != 1 || !strings.Contains(l.stderr.text(), "client: login refused") {
		t.Errorf("exit code %d: %s", code, l.stderr.text())
	}
	leavesNothing(t, dir)
}

// Somewhere else than in the project it says so; flags that make no sense are
// refused by name.
func TestDemoRefuses(t *testing.T) {
	t.Parallel()
	elsewhere := demoCommand(filepath.Join(t.TempDir(), "demo"))
	elsewhere.Dir = t.TempDir()
	for _, test := range []struct {
		cmd  *exec.Cmd
		code int
		says string
	}{
		{elsewhere, 1, "run this in the project's folder"},
		{demoCommand(newDemoDir(t), "-agents=0"), 2, "-agents=0"},
		{demoCommand(newDemoDir(t), "-commtype=pigeon"), 2, "-commtype=pigeon"},
		{demoCommand(newDemoDir(t), "agents=2"), 2, `"agents=2" is not a flag`},
	} {
		p := start(t, "demo", test.cmd)
		if code := p.wait(); code != test.code || !strings.Contains(p.stderr.text(), test.says) {
			t.Errorf("exit code %d, want %d and %q: %s", code, test.code, test.says, p.stderr.text())
		}
	}
}

// Signals to the launcher alone: all ends in order, with the client's exit
// code.
func TestDemoSignals(t *testing.T) {
	t.Parallel()
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		dir := newDemoDir(t)
		l := demo(t, dir)
		l.chats("hello")
		l.signal(s)
		if code := l.wait(); code != 0 {
			t.Errorf("%v: exit code %d: %s", s, code, l.stderr.text())
		}
		if text := l.stderr.text(); strings.Contains(text, "has ended") || strings.Contains(text, "killed") {
			t.Errorf("%v: it is noisy:\n%s", s, text)
		}
		leavesNothing(t, dir)
	}
}
