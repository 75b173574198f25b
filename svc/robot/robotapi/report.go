package robotapi

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go" // the reference implementation in Go
)

// Report tells about one run. Times are in seconds, latencies in microseconds.
// Latencies count from the time when a request was due, not from when a robot
// that was kept waiting came to send it.
type Report struct {
	Scenario string  `json:"scenario"`
	CommType string  `json:"commtype"`
	Robots   int     `json:"robots"`   // asked for
	Online   int     `json:"online"`   // of them got in
	Idle     int     `json:"idle"`     // further connections that only heartbeat, asked for
	IdleIn   int     `json:"idle_in"`  // of them got in
	InFlight int     `json:"inflight"` // most requests under way per robot
	Rate     float64 `json:"rate"`     // requests a second per robot; 0: the next follows the reply
	Think    float64 `json:"think"`    // about so long after it
	Behind   float64 `json:"behind"`   // how late the robot that was furthest behind its rate was in the end
	Size     int     `json:"size"`     // bytes of content
	Seed     uint64  `json:"seed"`

	Seconds     float64 `json:"seconds"`      // measured, without warm-up
	CPU         float64 `json:"cpu"`          // processor time of the robot itself meanwhile
	CPUTotal    float64 `json:"cpu_total"`    // and since its start
	MemoryBytes uint64  `json:"memory_bytes"` // taken from the system by the robot, at the end

	Ops      []Op     `json:"ops"`      // while measuring
	Enter    []Op     `json:"enter"`    // getting in: login, connect
	Timeline []Second `json:"timeline"` // one for every second measured

	Errors         []Error     `json:"errors"`          // whole run, the most frequent first
	ViolationCount int64       `json:"violation_count"` // whole run
	Violations     []Violation `json:"violations"`      // the first few of each kind
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
	At         float64    `json:"at"` // its end, since measuring began
	Online     int        `json:"online"`
	PerSecond  float64    `json:"per_second"` // of all operations
	P50        float64    `json:"p50_us"`
	P99        float64    `json:"p99_us"`
	Errors     int64      `json:"errors"`     // of this second
	Violations int64      `json:"violations"` // of this second
	Ops        []OpSecond `json:"ops"`        // those that there were
}

// OpSecond is one kind of operation in one second.
type OpSecond struct {
	Name      string  `json:"name"`
	PerSecond float64 `json:"per_second"`
	P50       float64 `json:"p50_us"`
	P99       float64 `json:"p99_us"`
}

// Error is what went wrong without breaking a promise, by code.
type Error struct {
	Code    string `json:"code"` // "login refused: ServerBusy", "closed: reset" ...
	Count   int64  `json:"count"`
	Example string `json:"example"` // the first
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

// Read reads the file of -json.
func Read(file string) (*Report, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	r := &Report{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return r, nil
}

// Write writes the file that Read reads.
func (r *Report) Write(file string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
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
