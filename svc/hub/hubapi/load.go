package hubapi

import (
	"runtime"
	"time"
)

// load measures how busy this process keeps the processors it may use: 0 idle, 1
// all of them.
type load struct {
	at   time.Time
	cpu  time.Duration
	last float64
}

// since is the load since the last call, or as it was then if that is not long
// ago; 0 the first time, and where the system does not tell.
func (l *load) since(now time.Time) float64 {
	took := now.Sub(l.at)
	if took < statusEvery/2 {
		return l.last
	}
	cpu := cpuTime()
	if !l.at.IsZero() {
		l.last = min(float64(cpu-l.cpu)/float64(took)/float64(runtime.GOMAXPROCS(0)), 1)
	}
	l.at, l.cpu = now, cpu
	return l.last
}
