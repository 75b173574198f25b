package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// The launcher is killed with SIGKILL: nothing of the demo stays.
func TestDemoKilled(t *testing.T) {
	t.Parallel()
	dir := newDemoDir(t)
	l := demo(t, dir, "-agents=2")
	l.chats("hello")
	eventually(t, "memsd, hub, login, 2 agents, game, social, client, and the launcher are running", func() bool { return len(leftovers(dir)) == 9 })
	l.kill()
	leavesNothing(t, dir)

	l = demo(t, dir) // and the folder can be used again
	l.chats("again")
	l.leaves()
}

// The go command that was asked to run the launcher is killed with SIGKILL:
// nothing of the demo stays.
func TestDemoGoRunKilled(t *testing.T) {
	t.Parallel()
	dir := newDemoDir(t)
	cmd := exec.Command("go", "run", "./tool/demo", "-dir="+dir)
	cmd.Dir = root()
	cmd.Env = append(os.Environ(), markEnv+"="+dir)
	l := &launcher{start(t, "go run", cmd), dir}
	l.limit = buildDeadline // of the launcher itself
	l.chats("hello")
	l.kill()
	leavesNothing(t, dir)
}

// A child that does not stop is waited for, and told, until a person has no
// more patience: that is the second Ctrl-C, or the first after /quit.
func TestDemoHurry(t *testing.T) {
	t.Parallel()
	for _, end := range []func(*launcher){
		func(l *launcher) { l.signal(syscall.SIGINT) },
		func(l *launcher) { l.enter("/quit") },
	} {
		dir := newDemoDir(t)
		l := demo(t, dir)
		social := l.table()["social#0@dev"]
		l.chats("hello")
		if err := syscall.Kill(social.pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		end(l)
		l.says("waiting for social-0 to stop")
		l.signal(syscall.SIGINT)
		l.wait()
		leavesNothing(t, dir)
	}
}

// Only the demo's own folder is written to, in a project that was just cloned;
// a new service is a folder, and is found.
func TestDemoInCleanClone(t *testing.T) {
	t.Parallel()
	clone := filepath.Join(t.TempDir(), "clone")
	copyProject(t, clone)
	guild := filepath.Join(clone, "svc", "guild")
	if err := os.MkdirAll(guild, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(guild, "main.go"), []byte(guildMain), 0o644); err != nil {
		t.Fatal(err)
	}
	git := commitAll(t, clone)

	cmd := exec.Command("go", "run", "./tool/demo")
	cmd.Dir = clone
	dir := filepath.Join(clone, ".demo")
	cmd.Env = append(os.Environ(), markEnv+"="+dir)
	l := &launcher{start(t, "go run", cmd), dir}
	l.limit = buildDeadline
	if r := l.table()["guild#0@dev"]; r.log != filepath.Join(".demo", "log", "guild-0.log") {
		t.Errorf("the new service is in the table as %+v", r)
	}
	l.chats("hello")
	l.leaves()
	if changed := git("status", "--porcelain"); changed != "" {
		t.Errorf("git status says\n%s", changed)
	}
}

// guildMain is a service as a person would add it.
const guildMain = `package main

import (
	"context"
	"flag"

	"github.com/davyxu/cellmesh_demo/basefx"
)

type guild struct{}

func main() { basefx.Main("guild", func(*flag.FlagSet) basefx.Service { return guild{} }) }

func (guild) Start(ctx context.Context, app *basefx.App) error { return app.AcceptLinks() }
`
