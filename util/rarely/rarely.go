// Package rarely keeps what strangers can cause as often as they like from
// filling the log: a few lines at once, then a few each second, and a count of
// what was left out. There is one file.
package rarely

import (
	"sync/atomic"

	"golang.org/x/time/rate"
)

// How many lines a Log lets through: perSecond on average, burst at once.
const (
	perSecond = 5
	burst     = 20
)

// Log decides which lines are said. Make it with New; any goroutine may use it.
type Log struct {
	limiter *rate.Limiter
	unsaid  atomic.Int64
}

// New makes a Log that lets 20 lines through at once and 5 a second afterwards.
func New() *Log { return &Log{limiter: rate.NewLimiter(perSecond, burst)} }

// Say reports whether a line may be said now, and how many were left out since
// the last one: say that number too. It costs no allocation.
func (l *Log) Say() (unsaid int64, ok bool) {
	if !l.limiter.Allow() {
		l.unsaid.Add(1)
		return 0, false
	}
	return l.unsaid.Swap(0), true
}
