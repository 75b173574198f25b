package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"
)

// row is one line of the table: a figure, and what is to be reached.
type row struct {
	figure string
	name   string
	unit   func(float64) string
	over   string  // side that it is compared with; "": it is judged by itself
	goal   float64 // of the ratio, or of the figure if it is judged by itself; 0: none
	least  bool    // the goal is to be reached from below
}

// result is all that was found.
type result struct {
	Machine machine                         `json:"machine"`
	Runs    int                             `json:"runs"`
	Seconds float64                         `json:"seconds"` // of each measurement
	Samples map[string]map[string][]figures `json:"samples"` // by case and side
	Table   []line                          `json:"table"`
}

// machine is where it was found.
type machine struct {
	CPU    string    `json:"cpu"`
	Cores  int       `json:"cores"`
	Kernel string    `json:"kernel"`
	Go     string    `json:"go"`
	Time   time.Time `json:"time"`
}

// line is a row with what was found: medians, and the extremes of ours.
type line struct {
	Case   string   `json:"case"`
	Figure string   `json:"figure"`
	Over   string   `json:"over,omitempty"`
	Base   *float64 `json:"base,omitempty"`
	Ours   *float64 `json:"ours,omitempty"`
	Least  *float64 `json:"least,omitempty"`
	Most   *float64 `json:"most,omitempty"`
	Ratio  *float64 `json:"ratio,omitempty"`
	Goal   string   `json:"goal,omitempty"`
	Pass   *bool    `json:"pass,omitempty"`

	row row
}

func newResult(o options) *result {
	return &result{
		Machine: machine{CPU: cpuModel(), Cores: runtime.NumCPU(), Kernel: kernel(), Go: runtime.Version(), Time: time.Now().UTC().Truncate(time.Second)},
		Runs:    o.runs, Seconds: o.lasts.Seconds(),
		Samples: map[string]map[string][]figures{},
	}
}

// add adds what one measurement found. Nothing is found by one that failed.
func (r *result) add(name, side string, f figures) {
	if f == nil {
		return
	}
	if r.Samples[name] == nil {
		r.Samples[name] = map[string][]figures{}
	}
	r.Samples[name][side] = append(r.Samples[name][side], f)
}

// values are all values of a figure, in order of size.
func (r *result) values(name, side, figure string) []float64 {
	var all []float64
	for _, f := range r.Samples[name][side] {
		if v, ok := f[figure]; ok {
			all = append(all, v)
		}
	}
	slices.Sort(all)
	return all
}

// median is the middle of sorted values, nil if there are none.
func median(sorted []float64) *float64 {
	n := len(sorted)
	if n == 0 {
		return nil
	}
	m := (sorted[(n-1)/2] + sorted[n/2]) / 2
	return &m
}

// conclude makes the table.
func (r *result) conclude(chosen []benchCase) {
	for _, c := range chosen {
		for _, w := range c.rows {
			r.Table = append(r.Table, r.line(c.name, w))
		}
	}
}

func (r *result) line(name string, w row) line {
	all := r.values(name, ours, w.figure)
	l := line{Case: name, Figure: w.name, Over: w.over, Ours: median(all), row: w}
	if len(all) > 0 {
		l.Least, l.Most = &all[0], &all[len(all)-1]
	}
	if w.over != "" {
		l.Base = median(r.values(name, w.over, w.figure))
		if l.Base != nil && l.Ours != nil && *l.Base > 0 {
			ratio := *l.Ours / *l.Base
			l.Ratio = &ratio
		}
	}
	if w.goal == 0 {
		return l
	}
	judged := l.Ours
	bound := w.unit(w.goal)
	if w.over != "" {
		judged = l.Ratio
		bound = fmt.Sprintf("%.2f x", w.goal)
	}
	l.Goal = "at most " + bound
	if w.least {
		l.Goal = "at least " + bound
	}
	if judged != nil {
		pass := *judged <= w.goal
		if w.least {
			pass = *judged >= w.goal
		}
		l.Pass = &pass
	}
	return l
}

// print prints the table.
func (r *result) print(out io.Writer) {
	m := r.Machine
	fmt.Fprintf(out, "%s, %d cores, %s, %s, %s; medians of %d runs of %v s\n\n", m.CPU, m.Cores, m.Kernel, m.Go, m.Time.Format(time.RFC3339), r.Runs, r.Seconds)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "case\tfigure\tcompared with\tours\t(least to most)\tratio\tgoal\t")
	last := ""
	for _, l := range r.Table {
		name := l.Case
		if name == last {
			name = ""
		}
		last = l.Case
		base := ""
		if l.Over != "" {
			base = l.Over + " " + show(l.Base, l.row.unit)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s to %s\t%s\t%s\t%s\n", name, l.Figure, base, show(l.Ours, l.row.unit),
			show(l.Least, l.row.unit), show(l.Most, l.row.unit), show(l.Ratio, decimal), l.Goal, l.verdict())
	}
	t.Flush()
	reached, missed, unknown := 0, 0, 0
	for _, l := range r.Table {
		switch l.verdict() {
		case "pass":
			reached++
		case "FAIL":
			missed++
		case "not measured":
			unknown++
		}
	}
	fmt.Fprintf(out, "\n%d goals reached, %d missed, %d not measured\n", reached, missed, unknown)
}

func (l *line) verdict() string {
	switch {
	case l.Goal == "":
		return ""
	case l.Pass == nil:
		return "not measured"
	case *l.Pass:
		return "pass"
	}
	return "FAIL"
}

func (r *result) write(file string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}

func show(v *float64, unit func(float64) string) string {
	if v == nil {
		return "-"
	}
	return unit(*v)
}

// The units figures are shown in.

func count(v float64) string   { return fmt.Sprintf("%.0f", v) }
func decimal(v float64) string { return fmt.Sprintf("%.2f", v) }

func micros(v float64) string {
	if v >= 1000 {
		return fmt.Sprintf("%.2f ms", v/1000)
	}
	return fmt.Sprintf("%.1f us", v)
}

// brief is what is told of one measurement at once: the figures with a goal.
func brief(c benchCase, f figures) string {
	text := ""
	for _, r := range c.rows {
		v, ok := f[r.figure]
		if r.goal == 0 || !ok {
			continue
		}
		if text != "" {
			text += ", "
		}
		text += r.name + " " + r.unit(v)
	}
	return text
}
