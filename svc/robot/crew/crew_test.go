package crew

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"go.uber.org/goleak"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/client/clientapi"
	"github.com/davyxu/cellmesh_demo/svc/robot/robotapi"
	"github.com/davyxu/cellmesh_demo/svc/robot/scenario"
	"github.com/davyxu/cellmesh_demo/tool/cluster"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// run is the robot program with these arguments.
func run(t *testing.T, args ...string) (report *robotapi.Report, out string, err error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "report.json")
	var stdout bytes.Buffer
	args = append([]string{"-flagfile=", "-warmup=20ms", "-for=200ms", "-grace=1m", "-patience=0", "-json", file}, args...)
	err = basefx.Run(t.Context(), "robot", New, basefx.Options{
		Args: args, Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stdout, Standalone: true,
	})
	if _, serr := os.Stat(file); serr == nil {
		var rerr error
		if report, rerr = robotapi.Read(file); rerr != nil {
			t.Fatal(rerr)
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

// runEnough is run, again for longer if the report says that it was too short on a
// busy machine.
func runEnough(t *testing.T, enough func(r *robotapi.Report) bool, args ...string) (report *robotapi.Report, out string, err error) {
	t.Helper()
	for _, lasts := range []string{"200ms", "1s", "5s"} {
		if report, out, err = run(t, append([]string{"-for=" + lasts}, args...)...); report != nil && enough(report) {
			break
		}
	}
	return report, out, err
}

// runSpoiled is runEnough against a server that breaks promises: what is missing
// is waited for the longer, too, the slower the machine is.
func runSpoiled(t *testing.T, enough func(r *robotapi.Report) bool, args ...string) (report *robotapi.Report, out string, err error) {
	t.Helper()
	for _, times := range [][]string{{"-for=200ms", "-grace=300ms"}, {"-for=1s", "-grace=2s"}, {"-for=5s", "-grace=10s"}} {
		if report, out, err = run(t, append(times, args...)...); report != nil && enough(report) {
			break
		}
	}
	return report, out, err
}

// did reports whether there were all of these operations.
func did(ops string) func(r *robotapi.Report) bool {
	return func(r *robotapi.Report) bool {
		for _, name := range strings.Fields(ops) {
			if op := r.Op(name); op == nil || op.Count == 0 {
				return false
			}
		}
		return true
	}
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
		{"deliver", []string{"-n=5", "-scenario=broadcast", "-think=50ms"}},
	} {
		r, out, err := runEnough(t, did(test.op), append(test.args, login)...)
		if err != nil {
			t.Fatalf("%v: %v\n%s", test.args, err, out)
		}
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
		r, out, err := runEnough(t, did("login"), "-scenario=login", "-n=5", "-commtype="+commType, login)
		if err != nil || r.Online != 5 || len(r.Errors) > 0 || !did("login")(r) {
			t.Errorf("%v: %+v\n%s", err, r, out)
		}
	}
	if _, _, err := run(t, "-scenario=login", "-platform=steam", login); err == nil || !strings.Contains(err.Error(), "PlatformUnknown") {
		t.Errorf("%v", err)
	}
	if _, _, err := run(t, "-scenario=login", "-idle=1", login); err == nil || !strings.Contains(err.Error(), "-idle") {
		t.Errorf("%v", err)
	}
}

// Robots play every scenario against a server that keeps its promises, and are
// content.
func TestScenarios(t *testing.T) {
	ops := map[string]string{
		"echo": "echo", "greet": "greet", "broadcast": "deliver", "chat": "say hear leave topic history", "grow": "look upgrade claim",
		"play": "echo look upgrade claim say hear who", "storm": "connect",
	}
	for _, s := range scenario.All() {
		if s.Name == "login" { // which a foreign server has not
			continue
		}
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			for _, args := range [][]string{{"-think=1ms"}, {"-inflight=8", "-think=0"}, {"-rate=50"}} {
				f := startForeign(t, faults{})
				report, out, err := runEnough(t, did(ops[s.Name]), append(args, "-noverify-token", "-agent="+f.addr, "-n=12", "-scenario="+s.Name, "-warmup=0")...)
				if err != nil || len(report.Errors) > 0 || !did(ops[s.Name])(report) {
					t.Fatalf("%v: %v\n%s", args, err, out)
				}
			}
		})
	}
}

// A reply that goes to the wrong robot is noticed by both.
func TestMisroutedReply(t *testing.T) {
	f := startForeign(t, on(pb.EchoACKID, misroute))
	report, out, err := runSpoiled(t, func(r *robotapi.Report) bool {
		return slices.ContainsFunc(r.Violations, func(v robotapi.Violation) bool { return strings.Contains(v.Seen, "of another robot") })
	}, "-noverify-token", "-agent="+f.addr, "-n=2")
	if err == nil || !strings.Contains(out, "of another robot") || !strings.Contains(out, "a reply to echo #7") {
		t.Errorf("%v %+v\n%s", err, report, out)
	}
}

// A connection that the server closes with a reason is an error, and the run
// fails; it is over when nobody is left.
func TestLostConnection(t *testing.T) {
	f := startForeign(t, on(pb.EchoACKID, func(c *foreignClient, _ []byte) [][]byte {
		c.reply(&pb.RejectACK{Code: pb.ResultCode_Kicked})
		c.Close(nil)
		return nil
	}))
	report, out, err := run(t, "-noverify-token", "-agent="+f.addr, "-n=3", "-for=1m")
	if err == nil || !strings.Contains(err.Error(), "3 of 3 robots") || len(report.Errors) != 1 || report.Errors[0].Count != 3 || report.Errors[0].Code != "closed: Kicked" || report.Seconds > 30 {
		t.Errorf("%v %+v\n%s", err, report, out)
	}
}

// Nobody there, login says no, silence: said in a line.
func TestNobodyGetsIn(t *testing.T) {
	f := startForeign(t, faults{})
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
		{[]string{"-noverify-token", "-agent=" + f.addr, "-plot=/nowhere/at/all.html"}, "-plot"},
		{[]string{"-noverify-token", "-agent=" + f.addr, "-database=sqlite:/nowhere/at.all"}, "-database"},
		{[]string{"-noverify-token", "-agent=" + f.addr, "-rate=1", "-think=1s"}, "-think=1s"},
		{[]string{"-noverify-token", "-agent=" + f.addr, "-source=192.0.2.1"}, "does not have that -source address"}, // nobody has it
		{[]string{"-tls", "-ca=/nowhere.pem"}, "/nowhere.pem"},
	} {
		if _, out, err := run(t, test.args...); err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(out, "measuring") {
			t.Errorf("%v: %v, want %q in it\n%s", test.args, err, test.want, out)
		}
	}
}

// An error while getting in is told by its class.
func TestEnterCode(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg := &clientapi.Config{CommType: "ws", Timeout: 50 * time.Millisecond}
	_, silent := clientapi.Connect(t.Context(), clientapi.Grant{Agent: l.Addr().String()}, cfg, &guest{})
	for _, test := range []struct {
		err  error
		want string
	}{
		{silent, "connect: timeout"},
		{&clientapi.Refused{What: "verify", Code: pb.ResultCode_TokenExpired}, "verify refused: TokenExpired"},
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EADDRNOTAVAIL)}, "connect: no local port left, give more -source addresses"},
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("bind", syscall.EADDRNOTAVAIL)}, "connect: this machine does not have that -source address"},
	} {
		if got := enterCode("connect", test.err); got != test.want {
			t.Errorf("%v: %s, want %s", test.err, got, test.want)
		}
	}
}

// Who waits for servers is told so, and may stop waiting.
func TestInterruptedWaiting(t *testing.T) {
	for _, scenario := range []string{"echo", "storm"} {
		ctx, interrupt := context.WithCancel(t.Context())
		defer interrupt()
		out := &waiter{want: "waiting: no memsd", then: interrupt}
		err := basefx.Run(ctx, "robot", New, basefx.Options{
			Args:  []string{"-flagfile=", "-sdaddr=127.0.0.1:1", "-scenario=" + scenario},
			Stdin: strings.NewReader(""), Stdout: out, Stderr: out, Standalone: true,
		})
		if err != nil || strings.Contains(out.String(), "measuring") {
			t.Errorf("%s: %v\n%s", scenario, err, out.String())
		}
	}
}

// An interrupted run ends in good order and tells what it has.
func TestInterrupted(t *testing.T) {
	f := startForeign(t, faults{})
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	out := &waiter{want: " online 2 ", then: interrupt}
	err := basefx.Run(ctx, "robot", New, basefx.Options{
		Args:  []string{"-flagfile=", "-warmup=0", "-for=0", "-noverify-token", "-agent=" + f.addr, "-n=2"},
		Stdin: strings.NewReader(""), Stdout: out, Stderr: out, Standalone: true,
	})
	if err != nil || !strings.Contains(out.String(), robotapi.Measured+": 2 of 2") || !strings.Contains(out.String(), "scenario echo") {
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
