//go:build linux && !race

package cellnet

import (
	"syscall"
	"unsafe"
)

// brief is the most bytes of a call that is over in a moment: any read but of the
// largest frames.
const brief = 128 << 10

// sysRead and sysWrite are one system call on a descriptor that does not block. A
// brief one goes unseen by Go's scheduler: to prepare it for a call that takes long
// is to fetch its records into the processor's cache, twice a call, where a
// thousand sockets have just driven them out.
func sysRead(fd int, b []byte) (int, syscall.Errno) {
	if len(b) > brief {
		return outcome(syscall.Read(fd, b))
	}
	n, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	return int(n), errno
}

func sysWrite(fd int, b []byte) (int, syscall.Errno) {
	if len(b) > brief {
		return outcome(syscall.Write(fd, b))
	}
	n, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	return int(n), errno
}
