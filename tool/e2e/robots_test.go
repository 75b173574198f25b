//go:build unix

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/davyxu/cellmesh_demo/svc/robot/robotapi"
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

// An agent and a game are killed with SIGKILL in the middle of robots that grow,
// and others that talk. They come back, or wait, and ask again; in the end all are
// there, the ledger tells exactly what they were told, and what was said to who was
// away has come.
func TestRobotsOutliveKills(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	all := s.up()
	s.cheapen(all["game"])
	for _, name := range []string{"agent", "game"} {
		s.run(name).ready()
	}
	const robots = 100
	file := filepath.Join(s.dir, "report.json")
	r := s.run("robot", "-scenario=grow", fmt.Sprint("-n=", robots), "-for=8s", "-warmup=0", "-chaos", "-patience=1s", "-grace=40s", "-database=sqlite:cellmesh.db", "-json="+file)
	talkers := s.run("robot", "-scenario=chat", "-uid=talker", "-n=30", "-think=300ms", "-for=8s", "-warmup=0", "-chaos", "-patience=1s", "-grace=40s")
	second := func(from int) int { // waits for a second that begins then, and is the next
		r.t.Helper()
		at := 0
		r.until(&r.stdout, fmt.Sprint("tell of second ", from), func(l string) bool {
			n, err := fmt.Sscanf(l, "%ds online", &at)
			return n == 1 && err == nil && at >= from
		})
		return at + 1
	}
	now := second(1)
	all["agent"].kill()
	now = second(now + 1)
	all["game"].kill()
	second(now + 2)
	if code := r.wait(); code != 0 {
		t.Fatalf("the robots end with exit code %d", code)
	}
	if code := talkers.wait(); code != 0 || strings.Contains(talkers.stdout.text(), "stored line not heard") {
		t.Fatalf("the talkers end with exit code %d", code)
	}
	report, err := robotapi.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	back, upgrades := report.Op("return"), report.Op("upgrade")
	if back == nil || upgrades == nil || report.ViolationCount > 0 || report.Online != robots {
		t.Fatalf("%+v", report)
	}
	t.Logf("%d robots came back, half of them within %.0f ms; %d upgrades; errors %+v", back.Count, back.P50/1e3, upgrades.Count, report.Errors)
}
