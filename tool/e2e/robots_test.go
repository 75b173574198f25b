//go:build unix

package e2e

import (
	"os"
	"strings"
	"testing"
)

// Robots play along, say nothing on the terminal but lines of chat, and find
// nothing to complain about until the demo ends.
func TestDemoRobots(t *testing.T) {
	t.Parallel()
	l := demo(t, newDemoDir(t), "-robots", "20")
	r, ok := l.table()["robots"]
	if !ok {
		t.Fatal("robots are not in the table")
	}
	l.chats("hello")
	l.leaves()
	for line := range strings.Lines(l.stdout.text()) {
		if strings.Contains(line, "ops/s") || strings.Contains(line, "VIOLATION") {
			t.Errorf("on the terminal: %s", line)
		}
	}
	report, err := os.ReadFile(r.log)
	if err != nil || !strings.Contains(string(report), "scenario play") || strings.Contains(string(report), "VIOLATION") {
		t.Errorf("%v\n%s", err, report)
	}
}
