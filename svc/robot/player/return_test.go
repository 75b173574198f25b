package player

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/robot/tally"
)

// A robot that has lost its connection begins anew on another: what was under way
// is owed no longer, what it was to do later is not done, and it makes as many
// requests as at first.
func TestReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lost []int
		tal := &tally.Tally{}
		run := NewRun(Options{Robots: 1, InFlight: 3, Lost: func(i int) { lost = append(lost, i) }}, tal)
		stop := turn(t, run)
		var calls *Calls
		var window *Window
		sent, events, sends := 0, "", "-"
		r := New(run, 7, func(r *Robot) {
			calls, window = NewCalls(r), NewWindow(r, "echo")
			r.OnBegin(func() { events += "begins " })
			r.OnLoss(func() { events += "loses " })
			r.OnReturn(func() {
				events += fmt.Sprint("returns owed ", calls.Owed()+window.Owed(), " ")
				r.Hold()
				calls.Ask(&pb.SayREQ{}, "again", r.Now())
			})
			r.Pace(func(due time.Duration) {
				if sent++; sent%2 == 0 {
					window.Sent(due)
					return
				}
				calls.Ask(&pb.SayREQ{}, fmt.Sprint(sent), due)
				r.After(time.Second, func() { sends = fmt.Sprint(sends, sent) })
			})
		})
		r.Online(&sink{})
		r.Begin()
		r.Closed(io.EOF)
		if r.IsOnline() {
			t.Error("online without a connection")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if sends != "-" {
			t.Error("what was to be done later is done without a connection")
		}
		r.Online(&sink{})
		if sent != 3+2 || calls.Owed() != 2 || window.Owed() != 1 {
			t.Errorf("%d requests, %d and %d replies owed", sent, calls.Owed(), window.Owed())
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if want := "begins loses returns owed 0 "; events != want || sends != "-5" || len(lost) != 1 || lost[0] != 7 {
			t.Errorf("%s, later %s, lost %v", events, sends, lost)
		}
		if kinds(tal) != "close unexplained" {
			t.Errorf("violations: %s", kinds(tal))
		}
		stop()
	})
}

// Who comes back, and what an end without a reason is.
func TestComesBack(t *testing.T) {
	for _, test := range []struct {
		farewell pb.ResultCode
		err      error
		chaos    bool
		want     string // whether it comes back, violations
	}{
		{pb.ResultCode_NoError, io.EOF, false, "true close unexplained"},
		{pb.ResultCode_NoError, io.EOF, true, "true "},
		{pb.ResultCode_ShuttingDown, io.EOF, false, "true "},
		{pb.ResultCode_Kicked, io.EOF, false, "false "},
		{pb.ResultCode_LoggedInElsewhere, io.EOF, true, "false "},
		{pb.ResultCode_NoError, context.Canceled, false, "false "},
	} {
		for _, short := range []bool{false, true} {
			came := false
			tal := &tally.Tally{}
			r := New(NewRun(Options{Robots: 1, InFlight: 1, Chaos: test.chaos, Lost: func(int) { came = true }}, tal), 0, func(*Robot) {})
			if !short {
				r.Online(&sink{})
			}
			r.farewell = test.farewell
			r.Closed(test.err)
			if short { // the end is heard of before the beginning
				if came {
					t.Errorf("%+v: another connection is asked for before the first is known", test)
				}
				r.Online(&sink{})
			}
			if got := fmt.Sprint(came, " ", kinds(tal)); got != test.want || r.IsOnline() {
				t.Errorf("%+v, short %v: %s", test, short, got)
			}
		}
	}
}

// A reply that does not come within the robots' patience is missing, and the robot
// goes on; the reply may come later.
func TestOverdue(t *testing.T) {
	for _, chaos := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			tal := &tally.Tally{}
			run := NewRun(Options{Robots: 1, InFlight: 2, Patience: 10 * time.Second, Chaos: chaos}, tal)
			stop := turn(t, run)
			var calls *Calls
			var window *Window
			sent := 0
			r := New(run, 0, func(r *Robot) {
				calls, window = NewCalls(r), NewWindow(r, "echo")
				r.Pace(func(due time.Duration) {
					if sent++; sent%2 == 0 {
						window.Sent(due)
						return
					}
					calls.Ask(&pb.SayREQ{}, fmt.Sprint(sent), due)
				})
			})
			r.Online(&sink{})
			time.Sleep(5 * time.Second)
			r.Begin()
			time.Sleep(19 * time.Second)
			synctest.Wait()
			if sent != 2 || len(tal.Errors()) > 0 || kinds(tal) != "" {
				t.Errorf("after 19 s: %d sent, %s", sent, kinds(tal))
			}
			time.Sleep(2 * time.Second)
			synctest.Wait()
			errs := ""
			for _, e := range tal.Errors() {
				errs += e.Code + ", "
			}
			got := fmt.Sprintf("%d sent, %q, %q", sent, kinds(tal), errs)
			if want := map[bool]string{false: `4 sent, "missing, missing", ""`, true: `4 sent, "", "unanswered: SayREQ, unanswered: echo, "`}[chaos]; got != want {
				t.Errorf("after 21 s: %s, want %s", got, want)
			}
			calls.Answered(pb.SayREQID, "1")
			window.Answered(1)
			if want := map[bool]string{false: "missing, missing, out of order, out of order", true: ""}[chaos]; kinds(tal) != want {
				t.Errorf("chaos %v, late replies: %s", chaos, kinds(tal))
			}
			calls.Answered(pb.SayREQID, "1")
			if got := kinds(tal); !strings.HasSuffix(got, "doubled") {
				t.Errorf("a late reply once more: %s", got)
			}
			stop()
		})
	}
}

// With a rate, what was due while the robot was away is late, and counts from when
// it was due.
func TestRateOverGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run := NewRun(Options{Robots: 1, InFlight: 100, Rate: 10, Lost: func(int) {}}, &tally.Tally{})
		stop := turn(t, run)
		var worst time.Duration
		sent := 0
		r := New(run, 0, func(r *Robot) {
			r.Pace(func(due time.Duration) {
				sent++
				worst = max(worst, r.Now()-due)
			})
		})
		r.Online(&sink{})
		r.Begin()
		time.Sleep(950 * time.Millisecond)
		r.Closed(errors.New("gone"))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if sent != 10 || worst > coarse {
			t.Errorf("%d requests before and during the gap, up to %v late", sent, worst)
		}
		r.Online(&sink{})
		time.Sleep(time.Second)
		synctest.Wait()
		if sent != 40 || worst < 1900*time.Millisecond {
			t.Errorf("%d requests in 3.95 s, up to %v late", sent, worst)
		}
		stop()
	})
}
