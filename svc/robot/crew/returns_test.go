package crew

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/robot/robotapi"
	"github.com/davyxu/cellmesh_demo/tool/cluster"
)

// Robots whose connection ends come back, go on, and find that every promise was
// kept over the gap.
func TestReturns(t *testing.T) {
	for _, test := range []struct {
		scenario string
		reply    uint16 // instead of which the server hangs up
	}{
		{"echo", pb.EchoACKID}, {"greet", pb.ChatACKID}, {"broadcast", pb.ChatACKID}, {"grow", pb.ClaimACKID}, {"chat", pb.SayACKID}, {"play", pb.UpgradeACKID},
	} {
		for _, args := range [][]string{{"-think=1ms"}, {"-inflight=8", "-think=0"}, {"-rate=100"}} {
			t.Run(fmt.Sprint(test.scenario, args), func(t *testing.T) {
				t.Parallel()
				f := startForeign(t, on(test.reply, hangUp))
				report, out, err := runEnough(t, did("return"), append(args, "-noverify-token", "-agent="+f.addr, "-n=12", "-idle=2", "-scenario="+test.scenario)...)
				if err != nil && strings.Contains(err.Error(), "did not stay") { // who was cut off in the end, and is on the way back
					err = nil
				}
				if err != nil || !did("return")(report) {
					t.Fatalf("%v\n%s", err, out)
				}
				for _, e := range report.Errors {
					if e.Code != "closed: ShuttingDown" && !strings.HasPrefix(e.Code, "unanswered: ") {
						t.Errorf("%s: %s", e.Code, e.Example)
					}
				}
			})
		}
	}
}

// A connection that ends without a reason is a broken promise, unless servers are
// killed; a robot that is not to come back does not.
func TestReturnFlags(t *testing.T) {
	f := startForeign(t, on(pb.EchoACKID, cutOff))
	args := []string{"-noverify-token", "-agent=" + f.addr, "-n=2", "-idle=1"}
	report, out, err := runEnough(t, did("return"), append(args, "-chaos")...)
	if err != nil || !did("return")(report) || report.ViolationCount > 0 {
		t.Errorf("-chaos: %v\n%s", err, out)
	}
	report, out, err = runEnough(t, did("return"), args...)
	if err == nil || !did("return")(report) || report.Violations[0].Kind != robotapi.CloseUnexplained {
		t.Errorf("%v\n%s", err, out)
	}
	report, out, err = run(t, append(args, "-chaos", "-reconnect=false", "-idle=0", "-for=1m")...)
	if err == nil || !strings.Contains(err.Error(), "2 of 2 robots") || did("return")(report) {
		t.Errorf("-reconnect=false: %v\n%s", err, out)
	}
}

// An agent stops in good order under robots that grow and talk: they go on at
// another, and no promise is broken.
func TestAgentStops(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t)
	c.LiftRates()
	first := c.Launch("agent").WaitReady()
	var stopping sync.WaitGroup
	defer stopping.Wait()
	stop := sync.OnceFunc(func() { stopping.Go(func() { first.Stop() }) })
	file := filepath.Join(t.TempDir(), "report.json")
	out := &waiter{want: " online 20 ", then: stop}
	err := basefx.Run(t.Context(), "robot", New, basefx.Options{
		Args: []string{"-flagfile=", "-scenario=play", "-n=20", "-think=20ms", "-for=3s", "-grace=1m", "-patience=0", "-json=" + file,
			"-login=" + c.Addr("login#0@dev"), "-database=" + c.Database},
		Stdin: strings.NewReader(""), Stdout: out, Stderr: out, Standalone: true,
	})
	if err != nil || !strings.Contains(out.String(), "closed: ShuttingDown") {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if report, err := robotapi.Read(file); err != nil || !did("return")(report) {
		t.Errorf("%v\n%s", err, out.String())
	}
}
