package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		sorted []float64
		want   float64
	}{
		{[]float64{3}, 3}, {[]float64{1, 2, 9}, 2}, {[]float64{1, 2, 4, 9}, 3},
	} {
		if got := median(test.sorted); got == nil || *got != test.want {
			t.Errorf("median of %v is %v", test.sorted, got)
		}
	}
	if median(nil) != nil {
		t.Error("there is a median of nothing")
	}
}

// One result with every kind of row: goals above and below, of ratios and of
// figures, reached, missed and not measured.
func TestTable(t *testing.T) {
	r := newResult(options{runs: 3, lasts: 3 * time.Second})
	for i := range 3 {
		d := float64(i)
		r.add("echo", relay, figures{opsPerSec: 1000 + d, p99: 100, "only relay": 1})
		r.add("echo", ours, figures{opsPerSec: 900 + 10*d, p99: 130 - d, bytesEach: 4096})
		r.add("failed", ours, nil)
	}
	rows := []row{
		{figure: opsPerSec, name: "ops/s", unit: count, over: relay, goal: 0.9, least: true},
		{figure: opsPerSec, name: "much", unit: count, over: relay, goal: 0.95, least: true},
		{figure: p99, name: "p99", unit: micros, over: relay, goal: 1.3},
		{figure: p99, name: "little", unit: micros, over: relay, goal: 1.28},
		{figure: bytesEach, name: "bytes", unit: count, goal: 4096},
		{figure: bytesEach, name: "few bytes", unit: count, goal: 4095},
		{figure: opsPerSec, name: "many", unit: count, goal: 911, least: true},
		{figure: "only relay", name: "no ours", unit: count, over: relay, goal: 1},
		{figure: bytesEach, name: "no base", unit: count, over: relay, goal: 1},
		{figure: p50, name: "neither", unit: micros, over: relay, goal: 1},
		{figure: p99, name: "no goal", unit: micros, over: relay},
	}
	r.conclude([]benchCase{{name: "echo", rows: rows}, {name: "failed", rows: rows[:1]}})
	want := map[string]struct{ verdict, goal string }{
		"ops/s":     {"pass", "at least 0.90 x"},
		"much":      {"FAIL", "at least 0.95 x"},
		"p99":       {"pass", "at most 1.30 x"},
		"little":    {"FAIL", "at most 1.28 x"},
		"bytes":     {"pass", "at most 4096"},
		"few bytes": {"FAIL", "at most 4095"},
		"many":      {"FAIL", "at least 911"},
		"no ours":   {"not measured", "at most 1.00 x"},
		"no base":   {"not measured", "at most 1.00 x"},
		"neither":   {"not measured", "at most 1.00 x"},
		"no goal":   {"", ""},
	}
	for _, l := range r.Table[:len(rows)] {
		if l.verdict() != want[l.Figure].verdict || l.Goal != want[l.Figure].goal {
			t.Errorf("%s: %s %q, want %s %q", l.Figure, l.verdict(), l.Goal, want[l.Figure].verdict, want[l.Figure].goal)
		}
	}
	first := r.Table[0]
	if *first.Base != 1001 || *first.Ours != 910 || *first.Least != 900 || *first.Most != 920 || *first.Ratio != 910.0/1001 {
		t.Errorf("%+v", first)
	}
	if last := r.Table[len(r.Table)-1]; last.verdict() != "not measured" {
		t.Errorf("a case that failed: %s", last.verdict())
	}

	var out strings.Builder
	r.print(&out)
	for _, want := range []string{"medians of 3 runs of 3 s", "relay 1001", "900 to 920", "130.0 us", "pass", "FAIL", "3 goals reached, 4 missed, 4 not measured"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("not in the table: %q\n%s", want, out.String())
		}
	}

	file := filepath.Join(t.TempDir(), "result.json")
	if err := r.write(file); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var back result
	if err := json.Unmarshal(text, &back); err != nil || len(back.Table) != len(r.Table) || *back.Table[0].Pass != true || back.Samples["echo"][ours][2][p99] != 128 {
		t.Errorf("%v: %s", err, text)
	}
}

// Every goal of the table in the issue is there.
func TestCasesHaveTheirGoals(t *testing.T) {
	want := map[string]string{
		"echo-1x1 p50": "at most 1.15 x", "echo-1x1 server CPU s/million": "at most 1.30 x",
		"echo-100x1 ops/s": "at least 0.90 x", "echo-100x1 server CPU s/million": "at most 1.30 x",
		"echo-100x16 ops/s": "at least 0.80 x", "echo-100x16 server CPU s/million": "at most 1.30 x",
		"echo-1000x1 ops/s": "at least 0.90 x", "echo-1000x1 p99": "at most 1.20 x", "echo-1000x1 server CPU s/million": "at most 1.30 x",
		"echo-5000x1 ops/s": "at least 0.90 x", "echo-5000x1 p99": "at most 1.20 x", "echo-5000x1 server CPU s/million": "at most 1.30 x",
		"idle-tcp bytes each in agent": "at most 4096", "idle-ws bytes each in agent": "at most 6144",
		"broadcast deliveries/s": "at least 0.90 x", "crowd p99": "at most 1.50 x", "login-64 logins/s": "at least 0.70 x", "login-256 logins/s": "at least 0.70 x",
	}
	r := newResult(options{})
	r.conclude(cases(options{relay: "relay", idle: 1, crowd: 1}))
	for _, l := range r.Table {
		if l.Goal == "" {
			continue
		}
		if key := l.Case + " " + l.Figure; want[key] != l.Goal {
			t.Errorf("%s: %s, want %q", key, l.Goal, want[key])
		} else {
			delete(want, key)
		}
	}
	for key := range want {
		t.Errorf("no goal for %s", key)
	}
}

func TestChoose(t *testing.T) {
	all := cases(options{})
	for _, test := range []struct{ list, want string }{
		{"all", "echo-1x1 echo-100x1 echo-100x16 echo-1000x1 echo-5000x1 idle-tcp idle-ws broadcast login-64 login-256 crowd"},
		{"crowd,echo-1x1", "echo-1x1 crowd"},
		{"idle", "idle-tcp idle-ws"},
		{"echo-100x1", "echo-100x1"},
		{"echo-100x", "echo-100x1 echo-100x16"},
		{"crowd,nonsense", "there is no case \"nonsense\""},
		{"", "there is no case"},
	} {
		var names []string
		chosen, err := choose(all, test.list)
		for _, c := range chosen {
			names = append(names, c.name)
		}
		if err != nil {
			names = []string{err.Error()}
		}
		if got := strings.Join(names, " "); !strings.Contains(got, test.want) || err == nil && got != test.want {
			t.Errorf("%q: %s, want %s", test.list, got, test.want)
		}
	}
}

func TestMicros(t *testing.T) {
	for v, want := range map[float64]string{0.25: "0.2 us", 999.9: "999.9 us", 1000: "1.00 ms", 123456: "123.46 ms"} {
		if got := micros(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
}

// A turn that something else disturbed is taken again, and a few times at most.
func TestDisturbedTurnsAreRepeated(t *testing.T) {
	for _, test := range []struct {
		others []float64
		want   float64
	}{
		{[]float64{0.1}, 0.1}, {[]float64{0.9, 0.1}, 0.1}, {[]float64{0.9, 0.8, 0.5, 0.6, 0.7, 0.1}, 0.5},
	} {
		b := &bench{options: options{calm: 0.2}, log: io.Discard}
		n := 0
		found, err := b.take(t.Context(), func(_ context.Context, _ *bench, record func(string, figures)) error {
			record(relay, figures{cpuOthers: 0})
			record(ours, figures{cpuOthers: test.others[n]})
			n++
			return nil
		})
		if err != nil || len(found) != 2 || found[1].side != ours || found[1].figures[cpuOthers] != test.want {
			t.Errorf("%v: %v, %v", test.others, found, err)
		}
	}
	failed := errors.New("failed")
	b := &bench{options: options{calm: 0.2}, log: io.Discard}
	if _, err := b.take(t.Context(), func(context.Context, *bench, func(string, figures)) error { return failed }); err != failed {
		t.Errorf("%v", err)
	}
}
