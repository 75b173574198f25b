package crew

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/HdrHistogram/hdrhistogram-go"
	"go.uber.org/goleak"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/svc/robot/robotapi"
	"github.com/davyxu/cellmesh_demo/tool/cluster"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// run is the robot program with these arguments.
func run(t *testing.T, args ...string) (report *robotapi.Report, out string, err error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "report.json")
	var stdout bytes.Buffer
	args = append([]string{"-flagfile=", "-warmup=20ms", "-for=200ms", "-grace=10s", "-json", file}, args...)
	err = basefx.Run(t.Context(), "robot", New, basefx.Options{
		Args: args, Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stdout, Standalone: true,
	})
	if text, rerr := os.ReadFile(file); rerr == nil {
		report = &robotapi.Report{}
		if jerr := json.Unmarshal(text, report); jerr != nil {
			t.Fatal(jerr)
		}
	}
	return report, stdout.String(), err
}

func mustRun(t *testing.T, args ...string) *robotapi.Report {
	t.Helper()
	report, out, err := run(t, args...)
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return report
}

// Robots play against a whole cluster, over TCP and WebSocket, log in and all.
func TestCluster(t *testing.T) {
	c := cluster.Start(t)
	c.LiftRates()
	login := "-login=" + c.Addr("login#0@dev")
	for _, test := range []struct {
		op   string
		args []string
	}{
		{"echo", []string{"-n=5", "-idle=3"}},
		{"echo", []string{"-n=5", "-inflight=8", "-commtype=ws", "-size=300"}},
		{"echo", []string{"-n=5", "-rate=100", "-source=127.0.1.1-127.0.1.3", "-ramp=1000"}},
		{"deliver", []string{"-n=5", "-scenario=broadcast"}},
	} {
		r := mustRun(t, append(test.args, login)...)
		if r.Online != r.Robots || r.IdleIn != r.Idle || r.ViolationCount+int64(len(r.Errors)) > 0 {
			t.Errorf("%v: %+v", test.args, r)
		}
		op := r.Op(test.op)
		if op == nil || op.Count == 0 || op.P50 <= 0 || op.P99 < op.P50 || op.Max < op.P99 || op.PerSecond <= 0 {
			t.Fatalf("%v: %s: %+v", test.args, test.op, op)
		}
		h, err := hdrhistogram.Decode([]byte(op.Histogram))
		if err != nil || h.TotalCount() != op.Count {
			t.Errorf("%v: the histogram has %v values of %d: %v", test.args, h.TotalCount(), op.Count, err)
		}
		if len(r.Enter) != 2 || r.Enter[0].Name != "login" || r.Enter[0].Count != int64(r.Robots+r.Idle) || r.Enter[1].Name != "connect" {
			t.Errorf("%v: getting in: %+v", test.args, r.Enter)
		}
	}
}

// Robots that only log in, over TCP and WebSocket; and what they say when they
// are not let in.
func TestLogins(t *testing.T) {
	c := cluster.Start(t)
	login := "-login=" + c.Addr("login#0@dev")
	for _, commType := range []string{"tcp", "ws"} {
		r := mustRun(t, "-scenario=login", "-n=5", "-commtype="+commType, login)
		if op := r.Op("login"); r.Online != 5 || len(r.Errors) > 0 || op == nil || op.Count < 5 {
			t.Errorf("%+v", r)
		}
	}
	if _, _, err := run(t, "-scenario=login", "-platform=steam", login); err == nil || !strings.Contains(err.Error(), "PlatformUnknown") {
		t.Errorf("%v", err)
	}
	if _, _, err := run(t, "-scenario=login", "-idle=1", login); err == nil || !strings.Contains(err.Error(), "-idle") {
		t.Errorf("%v", err)
	}
}

// Robots play against a server that is not ours; output is what programs that
// follow it wait for.
func TestForeignServer(t *testing.T) {
	f := startForeign(t, honest)
	report, out, err := run(t, "-noverify-token", "-agent="+f.addr, "-n=3")
	if err != nil {
		t.Fatal(err, out)
	}
	if report.Op("echo").Count == 0 || len(report.Timeline) != 1 {
		t.Errorf("%+v", report)
	}
	at := 0
	for _, line := range []string{robotapi.LineOnline, robotapi.LineMeasuring, robotapi.LineMeasured} {
		next := strings.Index(out[at:], line+" ")
		if next < 0 {
			t.Fatalf("no line %q after the first %d bytes of\n%s", line, at, out)
		}
		at += next
	}
}

// Every promise can be broken, and the right complaint is made.
func TestFaultsAreCaught(t *testing.T) {
	for _, test := range []struct {
		name     string
		fault    func(*foreignClient, int, []byte) [][]byte
		scenario string
		inflight int
		want     string
		each     int64 // violations per robot
		grace    string
	}{
		{"drop", drop, "echo", 1, "missing", 1, "500ms"},
		{"drop", drop, "echo", 4, "missing", 1, "500ms"},
		{"double", double, "echo", 1, "doubled", 1, "10s"},
		{"double", double, "echo", 4, "doubled", 1, "10s"},
		{"swap", swap, "echo", 4, "reordered", 1, "10s"},
		{"corrupt", corrupt, "echo", 1, "wrong", 1, "10s"},
		{"corrupt", corrupt, "echo", 4, "wrong", 1, "10s"},
		{"garble", garble, "echo", 4, "wrong", 1, "10s"},
		{"drop", drop, "broadcast", 4, "missing", 1, "500ms"},
		{"double", double, "broadcast", 4, "doubled", 1, "10s"},
		{"corrupt", corrupt, "broadcast", 4, "wrong missing", 2, "500ms"},
	} {
		f := startForeign(t, test.fault)
		report, out, err := run(t, "-noverify-token", "-agent="+f.addr, "-n=2", "-scenario="+test.scenario, fmt.Sprint("-inflight=", test.inflight), "-grace="+test.grace)
		if err == nil || !strings.Contains(err.Error(), "promises broken") {
			t.Fatalf("%s %s: error is %v\n%s", test.scenario, test.name, err, out)
		}
		if report.ViolationCount != 2*test.each || len(report.Violations) != 2*int(test.each) {
			t.Errorf("%s %s: %d violations, want %d:\n%s", test.scenario, test.name, report.ViolationCount, 2*test.each, out)
		}
		for _, v := range report.Violations {
			if !strings.Contains(test.want, v.Kind) || !strings.Contains(v.Told, "#7") && !strings.Contains(v.Told, "differs") || !strings.HasPrefix(v.Robot, "robot") || v.At <= 0 {
				t.Errorf("%s %s: %+v, want %s", test.scenario, test.name, v, test.want)
			}
			if !strings.Contains(out, v.Told) {
				t.Errorf("%s %s: not told: %s", test.scenario, test.name, v.Told)
			}
		}
	}
}

// A reply that goes to the wrong robot is noticed by both.
func TestMisroutedReply(t *testing.T) {
	f := startForeign(t, misroute)
	report, out, err := run(t, "-noverify-token", "-agent="+f.addr, "-n=2", "-grace=500ms")
	if err == nil || !strings.Contains(out, "of another robot") || !strings.Contains(out, "no reply to echo #7") {
		t.Errorf("%v %+v\n%s", err, report, out)
	}
}

// A connection that is lost is an error with its reason, and the run fails.
func TestLostConnection(t *testing.T) {
	f := startForeign(t, func(c *foreignClient, n int, reply []byte) [][]byte {
		if n == 7 {
			c.Close(nil)
		}
		return [][]byte{reply}
	})
	report, out, err := run(t, "-noverify-token", "-agent="+f.addr, "-n=3", "-for=1m")
	if err == nil || !strings.Contains(err.Error(), "3 of 3 robots") || len(report.Errors) != 1 || report.Errors[0].Count != 3 || report.Seconds > 30 {
		t.Errorf("%v %+v\n%s", err, report, out)
	}
}

// Nobody there, login says no, silence: said in a line.
func TestNobodyGetsIn(t *testing.T) {
	f := startForeign(t, honest)
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"-noverify-token", "-agent=127.0.0.1:1"}, "connect: connection refused"},
		{[]string{"-login=127.0.0.1:1"}, "login: connection refused"},
		{[]string{"-noverify-token"}, "-agent"},
		{[]string{"-scenario=dance"}, "dance"},
		{[]string{"-source=127.0.0.9-127.0.0.1"}, "-source"},
		{[]string{"-n=0"}, "-n=0"},
		{[]string{"-commtype=smoke"}, "smoke"},
		{[]string{"-noverify-token", "-agent=" + f.addr, "-json=/nowhere/at/all.json"}, "-json"},
	} {
		if _, out, err := run(t, test.args...); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: %v, want %q in it\n%s", test.args, err, test.want, out)
		}
	}
}

// An interrupted run ends in good order and tells what it has.
func TestInterrupted(t *testing.T) {
	f := startForeign(t, honest)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	out := &waiter{want: " online 2 ", then: interrupt}
	err := basefx.Run(ctx, "robot", New, basefx.Options{
		Args:  []string{"-flagfile=", "-warmup=0", "-for=0", "-noverify-token", "-agent=" + f.addr, "-n=2"},
		Stdin: strings.NewReader(""), Stdout: out, Stderr: out, Standalone: true,
	})
	if err != nil || !strings.Contains(out.String(), robotapi.LineMeasured) || !strings.Contains(out.String(), "scenario echo") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// waiter is output that calls then when it has seen want.
type waiter struct {
	bytes.Buffer // written by the robot alone
	want         string
	then         func()
}

func (w *waiter) Write(p []byte) (int, error) {
	n, err := w.Buffer.Write(p)
	if strings.Contains(w.String(), w.want) {
		w.then()
	}
	return n, err
}

func TestHelp(t *testing.T) {
	_, out, err := run(t, "-scenario=help")
	if err != nil || !strings.Contains(out, "echo ") {
		t.Errorf("%v\n%s", err, out)
	}
}
