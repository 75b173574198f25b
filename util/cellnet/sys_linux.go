//go:build linux && !race

package cellnet

import (
	"syscall"
	"unsafe"
)

// sysRead and sysWrite are one system call on a descriptor that does not block,
// unseen by Go's scheduler: it need not prepare for a call that takes long, and
// have its records fetched into the processor's cache for it, twice a call, where a
// thousand sockets have just driven them out.
func sysRead(fd int, b []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	return int(n), errno
}

func sysWrite(fd int, b []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	return int(n), errno
}
