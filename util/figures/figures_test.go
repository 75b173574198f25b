package figures

import (
	"strings"
	"testing"
	"time"
)

// A line has the median, the values of all runs, and the goal with what became
// of it.
func TestTable(t *testing.T) {
	var table Table
	for _, v := range []float64{300, 100, 250.4} {
		table.Add("hub", "messages/s", v).AtLeast(200)
		table.Add("slow", "messages/s", v/1000).AtLeast(200)
	}
	for _, d := range []time.Duration{time.Millisecond, 20 * time.Millisecond} {
		table.Time("seen", d).AtMost(11)
	}
	table.Add("memory", "MB", 7)
	var out strings.Builder
	if err := table.Print(&out); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(out.String()) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	want := []string{
		"WHAT MEDIAN OF RUNS GOAL",
		"hub 250 messages/s 300 100 250 at least 200 messages/s: met",
		"slow 0.25 messages/s 0.30 0.10 0.25 at least 200 messages/s: MISSED",
		"seen 10.5 ms 1.00 20.0 at most 11 ms: met",
		"memory 7.00 MB 7.00",
	}
	if got := strings.Join(lines, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s", got)
	}
}
