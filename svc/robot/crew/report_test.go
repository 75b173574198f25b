package crew

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/game/gameapi"
	"github.com/davyxu/cellmesh_demo/svc/robot/player"
	"github.com/davyxu/cellmesh_demo/svc/robot/robotapi"
	"github.com/davyxu/cellmesh_demo/tool/cluster"
)

// What robots do follows from the seed: two runs with the same do the same, as
// far as both come.
func TestSeedRepeats(t *testing.T) {
	t.Parallel()
	const enough = 20
	play := func(seed int) map[string][]uint16 {
		var f *foreign
		lasts := "500ms"
		for range 2 {
			f = startForeign(t, faults{})
			r := mustRun(t, "-scenario=play", "-n=3", "-think=1ms", "-for="+lasts, "-noverify-token", "-agent="+f.addr, fmt.Sprint("-seed=", seed))
			if op := r.Op("echo"); op != nil && op.Count > 3*enough {
				break
			}
			lasts = "5s" // this machine is busy
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.heard
	}
	first, again, other := play(1), play(1), play(2)
	for uid, ids := range first {
		if uid == "" { // VerifyREQ
			continue
		}
		n := min(len(ids), len(again[uid])) - 1 // each has asked a last question
		if n < enough || !slices.Equal(ids[:n], again[uid][:n]) {
			t.Errorf("%s: the same seed, and another run:\n%v\n%v", uid, ids, again[uid])
		}
		if n := min(n, len(other[uid])-1); slices.Equal(ids[:n], other[uid][:n]) {
			t.Errorf("%s: another seed, and the same run", uid)
		}
	}
}

// Robots grow in a whole cluster, and the ledger tells what they were told.
func TestLedger(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t)
	c.LiftRates() // on a slow machine it takes so long that they would be felt
	r, out, err := runEnough(t, did("claim"), "-scenario=grow", "-n=5", "-think=2ms", "-login="+c.Addr("login#0@dev"), "-database="+c.Database)
	if err != nil || len(r.Errors) > 0 || !did("claim")(r) {
		t.Errorf("%v\n%s", err, out)
	}
	if _, _, err := run(t, "-login="+c.Addr("login#0@dev"), "-database=sqlite:/nowhere/at.all"); err == nil || !strings.Contains(err.Error(), "-database") {
		t.Errorf("a database that is not there: %v", err)
	}
}

// A ledger that tells something else is complained about.
func TestCompareLedger(t *testing.T) {
	told := func() *player.Told {
		return &player.Told{
			Done:    []player.Change{{RequestID: "run-1", Revision: 2, Level: 2, Money: 90}, {RequestID: "run-2", Revision: 3, Money: 95}},
			InDoubt: map[string]bool{"run-9": true},
		}
	}
	good := func() []gameapi.Change {
		return []gameapi.Change{
			{RequestID: "#created", Revision: 1, After: gameapi.State{Level: 1, Money: 100}},
			{RequestID: "run-1", Revision: 2, Before: gameapi.State{Level: 1, Money: 100}, After: gameapi.State{Level: 2, Money: 90}},
			{RequestID: "run-2", Revision: 3, Before: gameapi.State{Level: 2, Money: 90}, After: gameapi.State{Level: 2, Money: 95}},
		}
	}
	more := func(id string) func([]gameapi.Change) []gameapi.Change {
		return func(all []gameapi.Change) []gameapi.Change {
			return append(all, gameapi.Change{RequestID: id, Revision: 4, Before: all[2].After, After: all[2].After})
		}
	}
	for _, test := range []struct {
		name  string
		spoil func([]gameapi.Change) []gameapi.Change
		want  int
	}{
		{"as it should be", func(all []gameapi.Change) []gameapi.Change { return all }, 0},
		{"another's request", more("other-1"), 0},
		{"a request in doubt", more("run-9"), 0},
		{"a request that nobody was told about", more("run-8"), 1},
		{"a change is not there", func(all []gameapi.Change) []gameapi.Change { return all[:2] }, 1},
		{"another level", func(all []gameapi.Change) []gameapi.Change {
			all[1].After.Level, all[2].Before.Level = 3, 3
			return all
		}, 1},
		{"another revision", func(all []gameapi.Change) []gameapi.Change {
			all[0].Revision, all[1].Revision, all[2].Revision = 2, 3, 4
			return all
		}, 2},
		{"money from nowhere", func(all []gameapi.Change) []gameapi.Change { all[2].Before.Money += 7; return all }, 1},
	} {
		c := &Crew{run: player.NewRun(player.Options{}, nil)}
		c.run.ID = "run"
		c.compareLedger("robot0", told(), test.spoil(good()))
		n, all := c.tally.Violations()
		if int(n) != test.want || n > 0 && all[0].Kind != robotapi.Ledger {
			t.Errorf("%s: %d violations, want %d: %+v", test.name, n, test.want, all)
		}
	}
}

// Connections that only heartbeat are owed a reason for their end as well.
func TestGuest(t *testing.T) {
	for _, test := range []struct {
		farewell *pb.RejectACK
		err      error
		want     string
	}{
		{&pb.RejectACK{Code: pb.ResultCode_ShuttingDown}, io.EOF, "closed: ShuttingDown, 0 violations"},
		{&pb.RejectACK{MsgId: 7, Code: pb.ResultCode_RateLimited}, io.EOF, "closed: eof, 1 violations"},
		{nil, io.EOF, "closed: eof, 1 violations"},
		{nil, context.Canceled, ", 0 violations"},
	} {
		c := &Crew{}
		c.run = player.NewRun(player.Options{}, &c.tally)
		g := &guest{crew: c, uid: "robot7", stays: true}
		g.Online(nil)
		if test.farewell != nil {
			body, err := proto.Marshal(test.farewell)
			if err != nil {
				t.Fatal(err)
			}
			if err := g.Message(pb.RejectACKID, body); err != nil {
				t.Fatal(err)
			}
		}
		g.Closed(test.err)
		code := ""
		if all := c.tally.Errors(); len(all) > 0 {
			code = all[0].Code
		}
		n, _ := c.tally.Violations()
		if got := fmt.Sprintf("%s, %d violations", code, n); got != test.want || c.guests.Load() != 0 {
			t.Errorf("%v after %v: %s, %d there", test.err, test.farewell, got, c.guests.Load())
		}
	}
}

// inTwoSeconds reports whether there was every operation in two seconds at least.
func inTwoSeconds(r *robotapi.Report) bool {
	seconds := map[string]int{}
	for _, s := range r.Timeline {
		for _, o := range s.Ops {
			seconds[o.Name]++
		}
	}
	return !slices.ContainsFunc(r.Ops, func(o robotapi.Op) bool { return seconds[o.Name] < 2 })
}

// What a person is told in the end.
func TestPrint(t *testing.T) {
	report := func(change func(r *robotapi.Report)) *robotapi.Report {
		r := &robotapi.Report{
			Scenario: "echo", CommType: "tcp", Robots: 1, Online: 1, InFlight: 1, Seconds: 2, CPU: 0.5,
			Ops: []robotapi.Op{{Name: "echo", Count: 1000}}, MemoryBytes: 20e6,
		}
		change(r)
		return r
	}
	for _, test := range []struct {
		report *robotapi.Report
		want   []string
	}{
		{report(func(r *robotapi.Report) { r.Ops = nil }), []string{"no reply of message ID 7 was heard: -ackid says"}},
		{report(func(*robotapi.Report) {}), []string{"seed 0: 1 robot; each has 1 under way", "meanwhile (500µs an operation)", "and 20.0 MB\n", "no promise was broken"}},
		{report(func(r *robotapi.Report) { r.Robots, r.Idle, r.IdleIn, r.Rate = 3, 2, 1, 5 }), []string{"1 of 3 robots and 1 of 2 idle connections; each asks 5 times a second"}},
		{report(func(r *robotapi.Report) { r.Rate, r.Behind = 5, 2.5 }), []string{"requests were up to 2.5s late"}},
		{report(func(r *robotapi.Report) { r.Idle, r.IdleIn, r.Think = 99, 99, 1 }), []string{"1 robot and 99 idle connections; each has 1 under way, with 1s to think", "20.0 MB (100.0 kB a robot)"}},
		{report(func(r *robotapi.Report) {
			r.Errors = []robotapi.Error{{Code: "closed: eof", Count: 1, Example: "robot0: the end"}}
			r.ViolationCount, r.Violations = 3, []robotapi.Violation{{Kind: "money", Robot: "robot0", At: 1, Expected: "1", Seen: "2"}}
		}), []string{"error closed: eof: 1 time, first: robot0: the end", "VIOLATION money, robot0 at 1.000 s: expected 1; seen 2", "VIOLATION and 2 more"}},
	} {
		var out strings.Builder
		c := &Crew{out: &out, before: 10e6, flags: flags{noToken: true, ackID: 7}}
		c.print(test.report)
		for _, want := range test.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("no %q in\n%s", want, out.String())
			}
		}
	}
}

// The page has a curve for each operation, and is well-formed.
func TestPlot(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "page.html")
	f := startForeign(t, faults{})
	for _, lasts := range []string{"2s", "5s", "20s"} { // on a busy machine a second may go by without an operation
		if inTwoSeconds(mustRun(t, "-scenario=grow", "-n=3", "-think=1ms", "-for="+lasts, "-noverify-token", "-agent="+f.addr, "-plot="+file)) {
			break
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"grow over tcp: 3 of 3 robots", "upgrade p99", "no promise was broken", "<title>claim</title>"} {
		if !bytes.Contains(text, []byte(want)) {
			t.Errorf("not on the page: %s", want)
		}
	}
	curves := 0
	for rest := string(text); ; curves++ {
		_, after, found := strings.Cut(rest, "<svg ")
		if !found {
			break
		}
		svg, after, _ := strings.Cut(after, "</svg>")
		rest = after
		d := xml.NewDecoder(strings.NewReader("<svg " + svg + "</svg>"))
		for {
			token, err := d.Token()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if e, is := token.(xml.StartElement); is && e.Name.Local == "polyline" {
				if points := e.Attr[1].Value; len(strings.Fields(points)) < 2 {
					t.Errorf("a curve of the points %q", points)
				}
			}
		}
	}
	if curves != 3 || strings.Contains(string(text), "ZgotmplZ") || strings.Contains(string(text), "NaN") {
		t.Errorf("%d pictures\n%s", curves, text)
	}
	one := &robotapi.Report{Ops: []robotapi.Op{{Name: "echo"}}, Timeline: []robotapi.Second{{At: 1, Ops: []robotapi.OpSecond{{Name: "echo", PerSecond: 2e6, P50: 10, P99: 20}}}}}
	for _, c := range charts(one) { // a run of one second
		for _, curve := range c.Curves {
			if len(strings.Fields(curve.Points)) != 2 {
				t.Errorf("%s of one second: %q", curve.Name, curve.Points)
			}
		}
	}
	if top := charts(one)[0].YTicks; top[len(top)-1].Label != "2M" {
		t.Errorf("%+v", top)
	}
	if err := writePlot(file, &robotapi.Report{Violations: []robotapi.Violation{{Kind: "<b>"}}, ViolationCount: 3}); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(file); err != nil || !bytes.Contains(text, []byte("&lt;b&gt;")) || !bytes.Contains(text, []byte("and 2 more")) {
		t.Errorf("%v\n%s", err, text)
	}
}
