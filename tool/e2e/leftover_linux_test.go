package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// leavesNothing waits until no process of the demo in dir is left.
func leavesNothing(t testing.TB, dir string) {
	t.Helper()
	eventually(t, "no process of the demo is left", func() bool { return len(leftovers(dir)) == 0 })
}

// leftovers are the processes of the demo in dir: those that have inherited
// its mark.
func leftovers(dir string) []string {
	mark := []byte(markEnv + "=" + dir + "\x00")
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	var found []string
	for _, file := range environs {
		env, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(env, mark) { // gone, or somebody else's
			continue
		}
		cmdline, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
		found = append(found, fmt.Sprintf("%s %s", filepath.Base(filepath.Dir(file)), strings.ReplaceAll(string(cmdline), "\x00", " ")))
	}
	return found
}
