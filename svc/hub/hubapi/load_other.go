//go:build !unix

package hubapi

import "time"

func cpuTime() time.Duration { return 0 }
