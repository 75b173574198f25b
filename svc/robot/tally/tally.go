// Package tally is where robots count: how long operations took (op.go), what
// went wrong, and which promises were broken (this file).
//
// Everything may be called by any goroutine. What a run does once a round trip
// (Op.Record) allocates nothing and shares little.
package tally

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/davyxu/cellmesh_demo/svc/robot/robotapi"
)

// maxTold is how many violations of a kind are kept in full. One fault tends to
// break promises by the thousand; the first few tell what it was.
const maxTold = 6

// maxText is how long each text of a violation may be, in bytes.
const maxText = 1000

// Tally is the count of one run. The zero Tally is ready.
type Tally struct {
	mu         sync.Mutex
	ops        []*Op
	errors     map[string]*robotapi.Error
	failed     int64
	violations int64
	kinds      map[string]int // how many are told
	told       []robotapi.Violation
}

// Op is the operation of that name, the same for every caller.
func (t *Tally) Op(name string) *Op {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, op := range t.ops {
		if op.Name == name {
			return op
		}
	}
	op := newOp(name)
	t.ops = append(t.ops, op)
	return op
}

// Ops are the operations there are, in the order in which they were first
// named.
func (t *Tally) Ops() []*Op {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.ops)
}

// Error counts something that went wrong, under a code that is the same for all
// of its kind. The first is kept as example.
func (t *Tally) Error(code, example string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed++
	if e := t.errors[code]; e != nil {
		e.Count++
		return
	}
	if t.errors == nil {
		t.errors = map[string]*robotapi.Error{}
	}
	t.errors[code] = &robotapi.Error{Code: code, Count: 1, Example: example}
}

// Violation counts a broken promise to the robot of that uid, at a time since
// the robots began: which promise (robotapi has the kinds), what was expected,
// what was seen.
func (t *Tally) Violation(kind, uid string, at time.Duration, expected, seen string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.violations++
	if t.kinds[kind] < maxTold {
		if t.kinds == nil {
			t.kinds = map[string]int{}
		}
		t.kinds[kind]++
		t.told = append(t.told, robotapi.Violation{Kind: kind, Robot: uid, At: at.Seconds(), Expected: shortened(expected), Seen: shortened(seen)})
	}
}

func shortened(text string) string {
	if len(text) > maxText {
		return text[:maxText] + "..."
	}
	return text
}

// Counts are the numbers of errors and violations so far.
func (t *Tally) Counts() (errors, violations int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed, t.violations
}

// Errors are the errors so far, the most frequent first.
func (t *Tally) Errors() []robotapi.Error {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]robotapi.Error, 0, len(t.errors))
	for _, e := range t.errors {
		all = append(all, *e)
	}
	slices.SortFunc(all, func(a, b robotapi.Error) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Code, b.Code))
	})
	return all
}

// Violations are how many promises were broken, and the first few of each kind in
// full.
func (t *Tally) Violations() (count int64, told []robotapi.Violation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.violations, slices.Clone(t.told)
}
