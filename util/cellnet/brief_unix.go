//go:build unix && (!linux || race)

package cellnet

import "syscall"

// sysRead and sysWrite are one system call on a descriptor that does not block. The
// race detector sees the bytes of these.
func sysRead(fd int, b []byte) (int, syscall.Errno)  { return outcome(syscall.Read(fd, b)) }
func sysWrite(fd int, b []byte) (int, syscall.Errno) { return outcome(syscall.Write(fd, b)) }
