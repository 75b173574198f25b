// Package figures is what a benchmark has measured in several runs, as a table of
// medians with goals. There is one file.
package figures

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Figure is one line of the table: one value of every run.
type Figure struct {
	what   string
	unit   string // ms, MB, writes/s, times, µs
	goal   string // in words; empty: none
	met    func(median float64) bool
	values []float64
}

// Table has figures in the order in which they were first measured. The zero
// Table is ready.
type Table struct{ list []*Figure }

// Add adds the value of one run to the figure of that name.
func (r *Table) Add(what, unit string, value float64) *Figure {
	i := slices.IndexFunc(r.list, func(m *Figure) bool { return m.what == what })
	if i < 0 {
		i = len(r.list)
		r.list = append(r.list, &Figure{what: what, unit: unit})
	}
	r.list[i].values = append(r.list[i].values, value)
	return r.list[i]
}

// Time adds a duration as milliseconds.
func (r *Table) Time(what string, d time.Duration) *Figure {
	return r.Add(what, "ms", float64(d)/float64(time.Millisecond))
}

// AtMost sets the goal for the median.
func (m *Figure) AtMost(most float64) {
	m.goal, m.met = fmt.Sprintf("at most %g %s", most, m.unit), func(v float64) bool { return v <= most }
}

// AtLeast sets the goal for the median.
func (m *Figure) AtLeast(least float64) {
	m.goal, m.met = fmt.Sprintf("at least %g %s", least, m.unit), func(v float64) bool { return v >= least }
}

// median is the middle one, or between the two in the middle.
func median(values []float64) float64 {
	v := slices.Sorted(slices.Values(values))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// figure writes a value as short as it is worth.
func figure(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// Print writes the table.
func (r *Table) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "WHAT\tMEDIAN\tOF RUNS\tGOAL\t")
	for _, m := range r.list {
		all := make([]string, len(m.values))
		for i, v := range m.values {
			all[i] = figure(v)
		}
		goal := m.goal
		if goal != "" && m.met(median(m.values)) {
			goal += ": met"
		} else if goal != "" {
			goal += ": MISSED"
		}
		fmt.Fprintf(t, "%s\t%s %s\t%s\t%s\t\n", m.what, figure(median(m.values)), m.unit, strings.Join(all, " "), goal)
	}
	return t.Flush()
}

// Machine describes where the figures are from, as far as the system tells.
func Machine() string {
	cpu, memory := runtime.GOARCH, ""
	if f, err := os.Open("/proc/cpuinfo"); err == nil {
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if name, value, _ := strings.Cut(lines.Text(), ":"); strings.TrimSpace(name) == "model name" {
				cpu = strings.TrimSpace(value)
				break
			}
		}
		_ = f.Close()
	}
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		var kb int
		if _, err := fmt.Sscanf(string(b), "MemTotal: %d kB", &kb); err == nil {
			memory = fmt.Sprintf(", %d GB of memory", kb>>20)
		}
	}
	return fmt.Sprintf("%s, %d CPUs%s, %s, %s", cpu, runtime.NumCPU(), memory, runtime.GOOS, runtime.Version())
}
