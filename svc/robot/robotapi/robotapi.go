// Package robotapi is what the robot tells about a run: the JSON that it writes
// with -json, and the lines by which a program that reads its output follows
// it. There is one file.
package robotapi

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Lines of the robot's standard output that another program may wait for. What
// is measured lies between the second and the third.
const (
	LineOnline    = "online"    // everybody is in; followed by how many
	LineMeasuring = "measuring" // warm-up is over
	LineMeasured  = "measured"  // nothing more is sent; followed by for how long
)

// Report tells about one run. Times are in seconds, latencies in microseconds.
type Report struct {
	Scenario string  `json:"scenario"`
	CommType string  `json:"commtype"`
	Robots   int     `json:"robots"`   // asked for
	Online   int     `json:"online"`   // of them got in
	Idle     int     `json:"idle"`     // further connections that only heartbeat, asked for
	IdleIn   int     `json:"idle_in"`  // of them got in
	InFlight int     `json:"inflight"` // most requests under way per robot
	Rate     float64 `json:"rate"`     // requests a second per robot; 0: the next follows the reply
	Size     int     `json:"size"`     // bytes of content
	Seed     uint64  `json:"seed"`

	Seconds     float64 `json:"seconds"`      // measured, without warm-up
	CPU         float64 `json:"cpu"`          // processor time of the robot itself meanwhile
	CPUTotal    float64 `json:"cpu_total"`    // and since its start
	MemoryBytes uint64  `json:"memory_bytes"` // taken from the system by the robot, at the end

	Ops      []Op     `json:"ops"`      // while measuring
	Enter    []Op     `json:"enter"`    // getting in: login, connect
	Timeline []Second `json:"timeline"` // one for every second measured

	Errors         []Error     `json:"errors"`          // whole run, by code
	ViolationCount int64       `json:"violation_count"` // whole run
	Violations     []Violation `json:"violations"`      // the first few
}

// Op is one kind of operation.
type Op struct {
	Name      string  `json:"name"`
	Count     int64   `json:"count"`
	PerSecond float64 `json:"per_second"`
	Mean      float64 `json:"mean_us"`
	P50       float64 `json:"p50_us"`
	P90       float64 `json:"p90_us"`
	P99       float64 `json:"p99_us"`
	Max       float64 `json:"max_us"`
	Histogram string  `json:"histogram"` // all of it: HdrHistogram V2, compressed, base64; values in nanoseconds
}

// Second is what one second of the run was like.
type Second struct {
	At        float64 `json:"at"` // its end, since measuring began
	PerSecond float64 `json:"per_second"`
	P50       float64 `json:"p50_us"`
	P99       float64 `json:"p99_us"`
}

// Error is what went wrong without breaking a promise, by code.
type Error struct {
	Code    string `json:"code"` // "login: ServerBusy", "closed: reset" ...
	Count   int64  `json:"count"`
	Example string `json:"example"` // the first
}

// Violation is a broken promise: what a robot was told is not what it was due.
type Violation struct {
	Kind  string  `json:"kind"`  // "missing", "doubled", "reordered", "wrong" ...
	Robot string  `json:"robot"` // its uid
	At    float64 `json:"at"`    // since the robots began
	Told  string  `json:"told"`  // what was expected, what came
}

// Op is the named operation of the report, nil if there was none.
func (r *Report) Op(name string) *Op {
	for i := range r.Ops {
		if r.Ops[i].Name == name {
			return &r.Ops[i]
		}
	}
	return nil
}

// NewOp sums up a histogram of nanoseconds that was filled for so long.
func NewOp(name string, h *hdrhistogram.Histogram, filled time.Duration) (Op, error) {
	op := Op{Name: name, Count: h.TotalCount()}
	if op.Count == 0 {
		return op, nil
	}
	op.PerSecond = float64(op.Count) / filled.Seconds()
	op.Mean = h.Mean() / 1e3
	op.P50 = Quantile(h, 50)
	op.P90 = Quantile(h, 90)
	op.P99 = Quantile(h, 99)
	op.Max = float64(h.Max()) / 1e3
	packed, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		return op, fmt.Errorf("encode histogram of %s: %w", name, err)
	}
	op.Histogram = string(packed)
	return op, nil
}

// Quantile is a percentile of a histogram of nanoseconds, in microseconds.
func Quantile(h *hdrhistogram.Histogram, percent float64) float64 {
	return float64(h.ValueAtPercentile(percent)) / 1e3
}
