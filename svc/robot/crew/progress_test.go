package crew

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/davyxu/cellmesh_demo/svc/robot/robotapi"
)

// A run as it is told in each way.
func told(t *testing.T, mode string) string {
	t.Helper()
	var out bytes.Buffer
	p, err := newProgress(mode, &out, "echo", 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	p.phase(robotapi.Entering, 50, 100)
	p.phase(robotapi.Online, 100, 100)
	p.phase(robotapi.Measuring, 100, 100)
	p.second(&robotapi.Second{
		At: 3, Online: 99, PerSecond: 1234, P50: 100, P99: 2000,
		Ops: []robotapi.OpSecond{{Name: "echo", PerSecond: 1200, P50: 100, P99: 1900}, {Name: "look", PerSecond: 34, P50: 100, P99: 2000}},
	}, 100, 2, []robotapi.Error{{Code: "closed: reset", Count: 1}, {Code: "refused: EchoREQ: RateLimited", Count: 6}})
	p.phase(robotapi.Measured, 99, 100)
	p.end()
	return out.String()
}

func TestProgress(t *testing.T) {
	if got, want := told(t, "auto"), "entering: 50 of 100\nonline: 100 of 100\nmeasuring: 100 of 100\n"+
		"   3s online 99  ops/s 1234    p50 100µs    p99 2ms      errors 7  violations 2  left 7s\nmeasured: 99 of 100\n"; got != want {
		t.Errorf("plain:\n%s\nwant\n%s", got, want)
	}
	if got := told(t, "none"); got != "" {
		t.Errorf("none: %s", got)
	}
	panel := told(t, "panel")
	last := panel[strings.LastIndex(panel, "\x1b[J")+3:]
	if want := "echo [#########.....................] 3s, left 7s\n" +
		"online 99 of 100   1234 ops/s   p50 100µs   p99 2ms\n" +
		"errors 7   violations 2\n" +
		"  echo             1200/s   p50 100µs   p99 1.9ms\n" +
		"  look               34/s   p50 100µs   p99 2ms\n" +
		"         1 x closed: reset\n" +
		"         6 x refused: EchoREQ: RateLimited\n"; last != want {
		t.Errorf("panel:\n%s\nwant\n%s", last, want)
	}
	if strings.Count(panel, "\x1b[1A") != 3 { // each drawing but the first takes the one before away
		t.Errorf("panel: %q", panel)
	}
	var phases []string
	for line := range strings.Lines(told(t, "json")) {
		e, err := robotapi.ParseEvent(line)
		if err != nil {
			t.Fatal(err)
		}
		if e.Second != nil && (e.Second.PerSecond != 1234 || e.Left != 7 || len(e.Second.Ops) != 2) {
			t.Errorf("%+v", e)
		}
		phases = append(phases, e.Phase)
	}
	if got := strings.Join(phases, " "); got != "entering online measuring measuring measured" {
		t.Errorf("events: %s", got)
	}
	if _, err := newProgress("loud", nil, "", 0); err == nil || !strings.Contains(err.Error(), "loud") {
		t.Errorf("%v", err)
	}
	if _, err := robotapi.ParseEvent("hello"); err == nil || !strings.Contains(err.Error(), "hello") {
		t.Errorf("%v", err)
	}
}
