package player

import (
	"fmt"
	"strings"
	"testing"

	"github.com/davyxu/cellmesh_demo/proto/pb"
)

// A script is requests (s), which are called 1, 2, ..., their replies by name,
// refusals (x) and the end (.).
func TestCalls(t *testing.T) {
	for _, test := range []struct{ name, script, want string }{
		{"all in order", "s s 1 2 s 3 .", ""},
		{"one lost", "s s 2 .", "missing"},
		{"last lost", "s s 1 .", "missing"},
		{"doubled at once", "s 1 1 .", "doubled"},
		{"doubled later", "s s 1 2 s 1 3 .", "doubled"},
		{"swapped", "s s 2 1 .", "out of order"},
		{"last of four first", "s s s s 4 1 2 3 .", "out of order, out of order, out of order"},
		{"never asked", "s 2 1 .", "wrong"},
		{"refused", "s x .", ""},
		{"one of two refused", "s s x 2 .", ""},
		{"refused more often than sent", "s x x s .", "missing"},
		{"refused, and another lost", "s s s x 3 .", "missing"},
		{"an answer to what was refused", "s x 1 .", "doubled"},
	} {
		r, tal := newTestRobot(Options{})
		r.Online(&sink{})
		c, n := NewCalls(r), 0
		for _, step := range strings.Fields(test.script) {
			switch step {
			case "s":
				n++
				c.Ask(&pb.UpgradeREQ{}, fmt.Sprint(n), 0)
			case "x":
				c.Refused(pb.UpgradeREQID)
			case ".":
				r.Settle()
			default:
				c.Answered(pb.UpgradeREQID, step)
			}
		}
		if got := kinds(tal); got != test.want {
			t.Errorf("%s: %s: violations are %q, want %q", test.name, test.script, got, test.want)
		}
		if c.Owed() != 0 {
			t.Errorf("%s: %d replies are owed after the end", test.name, c.Owed())
		}
	}
}

// A reply that so many others have overtaken is taken for lost while robots play,
// and two requests of one name are answered in turn.
func TestCallsGiveUp(t *testing.T) {
	r, tal := newTestRobot(Options{})
	r.Online(&sink{})
	c := NewCalls(r)
	c.Ask(&pb.UpgradeREQ{}, "lost", 0)
	for range callPatience + 1 {
		c.Ask(&pb.ClaimREQ{}, "same", 1)
		c.Ask(&pb.ClaimREQ{}, "same", 2)
		for want := range 2 {
			if due, ok := c.Answered(pb.ClaimREQID, "same"); !ok || int(due) != want+1 {
				t.Fatalf("due %v, %v", due, ok)
			}
		}
	}
	_, told := tal.Violations()
	if len(told) != 1 || told[0].Expected != "a reply to UpgradeREQ lost, sent 0s ago" && !strings.HasPrefix(told[0].Expected, "a reply to UpgradeREQ lost, sent ") || !strings.Contains(told[0].Seen, "ClaimREQ same") {
		t.Errorf("%+v", told)
	}
}
