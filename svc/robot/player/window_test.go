package player

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/davyxu/cellmesh_demo/svc/robot/tally"
)

func newTestRobot(o Options) (*Robot, *tally.Tally) {
	t := &tally.Tally{}
	o.Robots = max(o.Robots, 1)
	o.InFlight = max(o.InFlight, 1)
	o.UID = "robot"
	return New(NewRun(o, t), 0, func(*Robot) {}), t
}

// kinds are the kinds of all violations so far.
func kinds(t *tally.Tally) string {
	_, told := t.Violations()
	var all []string
	for _, v := range told {
		all = append(all, strings.TrimPrefix(v.Kind, "reply "))
	}
	return strings.Join(all, ", ")
}

// A script is requests (s), replies by number (1 2 ...), refusals (x) and the
// end (.).
func TestWindow(t *testing.T) {
	for _, test := range []struct{ name, script, want string }{
		{"all in order", "s s 1 2 s 3 .", ""},
		{"nothing sent", ".", ""},
		{"one lost", "s s 2 .", "missing"},
		{"last lost", "s s 1 .", "missing"},
		{"two lost", "s s s 2 .", "missing, missing"},
		{"doubled at once", "s 1 1 .", "doubled"},
		{"doubled later", "s s 1 2 s 1 3 .", "doubled"},
		{"doubled out of turn", "s s s 2 2 1 3 .", "doubled, out of order"},
		{"swapped", "s s 2 1 .", "out of order"},
		{"last of four first", "s s s s 4 1 2 3 .", "out of order, out of order, out of order"},
		{"never sent", "s 2 1 .", "wrong"},
		{"number 0", "s 0 1 .", "wrong"},
		{"lost while a whole window passes", "s s s s 2 3 4 s s s 5 6 7 .", "missing"},
		{"late by more than a window", "s s s s 2 3 4 s s s 1 5 6 7 .", "missing, out of order"},
		{"refused", "s s x 2 .", ""},
		{"refused while a whole window passes", "s s s s x 2 3 4 s s s 5 6 7 .", ""},
		{"refused more often than sent", "s x x s .", "missing"},
		{"refused, and another lost", "s s s x 3 .", "missing"},
	} {
		r, tal := newTestRobot(Options{InFlight: 4})
		w := NewWindow(r, "echo")
		w.most = 4
		for _, step := range strings.Fields(test.script) {
			switch step {
			case "s":
				w.Sent(0)
			case "x":
				w.Refused()
			case ".":
				w.settle()
			default:
				var n uint64
				fmt.Sscan(step, &n)
				w.Answered(n)
			}
		}
		if got := kinds(tal); got != test.want {
			t.Errorf("%s: %s: violations are %q, want %q", test.name, test.script, got, test.want)
		}
		if w.Owed() != 0 {
			t.Errorf("%s: %d replies are owed after the end", test.name, w.Owed())
		}
	}
}

// A window grows with what is under way and never beyond what may be.
func TestWindowGrows(t *testing.T) {
	r, tal := newTestRobot(Options{InFlight: 1000})
	w := NewWindow(r, "echo")
	for n := range uint64(1000) {
		if got := w.Sent(time.Duration(n)); got != n+1 {
			t.Fatalf("request %d has number %d", n+1, got)
		}
	}
	if len(w.slots) != 1024 || w.Owed() != 1000 {
		t.Errorf("%d slots for %d requests", len(w.slots), w.Owed())
	}
	for n := range uint64(1000) {
		if due, ok := w.Answered(n + 1); !ok || due != time.Duration(n) {
			t.Fatalf("reply %d: due %v, ok %v", n+1, due, ok)
		}
	}
	w.settle()
	if got := kinds(tal); got != "" {
		t.Errorf("violations are %q", got)
	}
}
