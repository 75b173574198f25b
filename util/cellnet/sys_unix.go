//go:build unix && (!linux || race)

package cellnet

import "syscall"

// sysRead and sysWrite are one system call on a descriptor that does not block.
func sysRead(fd int, b []byte) (int, syscall.Errno) {
	n, err := syscall.Read(fd, b)
	errno, _ := err.(syscall.Errno)
	return n, errno
}

func sysWrite(fd int, b []byte) (int, syscall.Errno) {
	n, err := syscall.Write(fd, b)
	errno, _ := err.(syscall.Errno)
	return n, errno
}
