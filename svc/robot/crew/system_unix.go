//go:build linux || darwin

package crew

import (
	"fmt"
	"syscall"
	"time"
)

// spareFiles is how many files a process has open beside its connections; those
// that log in meanwhile are among them.
const spareFiles = 64 + doors

// raiseFileLimit makes room for so many open files, above the hard limit too if
// this process may.
func raiseFileLimit(want uint64) error {
	var now syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &now); err != nil || now.Cur >= want {
		return nil // a limit that cannot be read may be none
	}
	more := syscall.Rlimit{Cur: want, Max: max(now.Max, want)}
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &more) == nil {
		return nil
	}
	more = syscall.Rlimit{Cur: now.Max, Max: now.Max}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &more); err == nil && now.Max >= want {
		return nil
	}
	return fmt.Errorf("%d open files are needed and %d allowed: raise the limit (ulimit -n %d), or take fewer robots", want, now.Max, want)
}

// cpuTime is the processor time this process has taken so far.
func cpuTime() time.Duration {
	var use syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &use) != nil {
		return 0
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}
