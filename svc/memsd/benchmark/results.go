package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// metric is one line of the table: one figure of every run.
type metric struct {
	what   string
	unit   string // ms, MB, writes/s, times, µs
	goal   string // in words; empty: none
	met    func(median float64) bool
	values []float64
}

// results are the metrics in the order in which they were first measured.
type results struct{ list []*metric }

func (r *results) add(what, unit string, value float64) *metric {
	i := slices.IndexFunc(r.list, func(m *metric) bool { return m.what == what })
	if i < 0 {
		i = len(r.list)
		r.list = append(r.list, &metric{what: what, unit: unit})
	}
	r.list[i].values = append(r.list[i].values, value)
	return r.list[i]
}

// time adds a duration as milliseconds.
func (r *results) time(what string, d time.Duration) *metric {
	return r.add(what, "ms", float64(d)/float64(time.Millisecond))
}

func (m *metric) atMost(most float64) {
	m.goal, m.met = fmt.Sprintf("at most %g %s", most, m.unit), func(v float64) bool { return v <= most }
}

func (m *metric) atLeast(least float64) {
	m.goal, m.met = fmt.Sprintf("at least %g %s", least, m.unit), func(v float64) bool { return v >= least }
}

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

// print writes the table.
func (r *results) print(w io.Writer) error {
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

// machine describes where the figures are from, as far as the system tells.
func machine() string {
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

// disk names the file system that dir is on, as far as the system tells.
func disk(dir string) string {
	out, err := exec.Command("df", "-PT", dir).Output()
	if err != nil {
		return "unknown"
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if fields := strings.Fields(lines[len(lines)-1]); len(fields) > 1 {
		return fields[1] + " on " + fields[0]
	}
	return "unknown"
}

// etcdVersion is the first line that etcd says of itself.
func etcdVersion(program string) string {
	out, err := exec.Command(program, "--version").Output()
	if err != nil {
		return "unknown"
	}
	first, _, _ := bytes.Cut(out, []byte("\n"))
	return strings.TrimPrefix(string(first), "etcd Version: ")
}
