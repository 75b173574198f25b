//go:build unix

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// launcher is a running tool/demo.
type launcher struct {
	*process
	dir string // -dir
}

// newDemoDir is a folder for -dir in which the programs are built already.
func newDemoDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "demo")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(bin(), filepath.Join(dir, "bin")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// demo starts tool/demo in the project's folder.
func demo(t *testing.T, dir string, args ...string) *launcher {
	t.Helper()
	return &launcher{start(t, "demo", demoCommand(dir, args...)), dir}
}

func demoCommand(dir string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(bin(), "demo"), append([]string{"-dir=" + dir}, args...)...)
	cmd.Dir = root()
	cmd.Env = append(os.Environ(), markEnv+"="+dir)
	return cmd
}

// markEnv marks a demo's processes: they inherit it.
const markEnv = "E2E_DEMO"

// row is a line of the table that the launcher shows.
type row struct {
	svcid                           string
	pid                             int
	clients, services, metrics, log string
}

// logs waits until text is in the log.
func (r row) logs(t *testing.T, text string) {
	t.Helper()
	eventually(t, "the log of "+r.svcid+" has "+text, func() bool {
		log, err := os.ReadFile(r.log)
		return err == nil && strings.Contains(string(log), text)
	})
}

// table waits for the table and returns it, by service ID.
func (l *launcher) table() map[string]row {
	l.t.Helper()
	l.says("/quit or Ctrl-C ends")
	rows := map[string]row{}
	_, text, _ := strings.Cut(l.stderr.text(), "service ")
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 {
			break
		}
		if pid, err := strconv.Atoi(f[1]); err == nil && len(f) == 6 {
			rows[f[0]] = row{f[0], pid, f[2], f[3], f[4], f[5]}
		}
	}
	return rows
}

// chats types a line and waits for it to come back.
func (l *launcher) chats(line string) {
	l.t.Helper()
	l.enter(line)
	l.prints(line)
}

// leaves ends the input; all has to end well, and to leave no process.
func (l *launcher) leaves() {
	l.t.Helper()
	l.process.leaves()
	if text := l.stderr.text(); strings.Contains(text, "did not stop") {
		l.t.Errorf("a child did not stop well:\n%s", text)
	}
	leavesNothing(l.t, l.dir)
}
