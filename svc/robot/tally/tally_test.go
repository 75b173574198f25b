package tally

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/davyxu/cellmesh_demo/svc/robot/robotapi"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Whatever is counted while others take is taken once.
func TestTakeLosesNothing(t *testing.T) {
	const robots, each = 9, 5000
	var tal Tally
	op := tal.Op("echo")
	if tal.Op("echo") != op || len(tal.Ops()) != 1 {
		t.Error("one name, two operations")
	}
	var counting sync.WaitGroup
	for robot := range robots {
		counting.Go(func() {
			for range each {
				op.Record(robot, time.Duration(robot)*time.Millisecond)
			}
		})
	}
	all := NewHistogram()
	done := make(chan struct{})
	go func() { counting.Wait(); close(done) }()
	for taking := true; taking; {
		select {
		case <-done:
			taking = false
		default:
		}
		op.Take(all)
	}
	if all.TotalCount() != robots*each {
		t.Errorf("%d of %d", all.TotalCount(), robots*each)
	}
	if p50 := all.ValueAtPercentile(50); p50 < 3_990_000 || p50 > 4_010_000 {
		t.Errorf("p50 is %d ns, want 4 ms", p50)
	}
}

// No latency is too long or too short to be counted, and forgetting works.
func TestRecordBounds(t *testing.T) {
	var tal Tally
	op := tal.Op("echo")
	op.Record(0, time.Hour)
	op.Take(nil)
	op.Record(0, -time.Second)
	op.Record(1, 0)
	op.Record(2, time.Hour)
	h := NewHistogram()
	op.Take(h)
	if h.TotalCount() != 3 || h.Max() < int64(59*time.Second) {
		t.Errorf("%d values, the largest %v", h.TotalCount(), time.Duration(h.Max()))
	}
}

func TestRecordAllocates(t *testing.T) {
	var tal Tally
	op := tal.Op("echo")
	if n := testing.AllocsPerRun(100, func() { op.Record(3, time.Millisecond) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestErrorsAndViolations(t *testing.T) {
	var tal Tally
	tal.Error("b", "first b")
	for range 3 {
		tal.Error("a", "example")
	}
	tal.Error("c", "first c")
	all := tal.Errors()
	if len(all) != 3 || all[0].Code != "a" || all[0].Count != 3 || all[1].Example != "first b" || all[2].Code != "c" {
		t.Errorf("errors: %+v", all)
	}
	for i := range 100 {
		tal.Violation(robotapi.ReplyMissing, "robot7", time.Second, fmt.Sprintf("reply #%d", i), strings.Repeat("x", 5000))
	}
	count, told := tal.Violations()
	tal.Violation(robotapi.Money, "robot7", time.Second, "more", "less") // another kind is told nevertheless
	if _, told := tal.Violations(); len(told) != maxTold+1 {
		t.Errorf("%d violations are told", len(told))
	}
	if count != 100 || len(told) != maxTold || told[1].Expected != "reply #1" || len(told[0].Seen) > maxText+10 || told[0].At != 1 {
		t.Errorf("%d violations, %d told, the first %.100v", count, len(told), told[0])
	}
	if errors, violations := tal.Counts(); errors != 5 || violations != 101 {
		t.Errorf("counts: %d, %d", errors, violations)
	}
}
