//go:build !linux

package crew

import "syscall"

// latePort is a service of Linux.
func latePort(_, _ string, _ syscall.RawConn) error { return nil }

func memory() uint64 { return memoryOfGo() }
