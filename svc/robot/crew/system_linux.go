package crew

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// latePort lets the system choose the local port when it knows the peer, so
// that a port can serve connections to several: without it a source address is
// good for fewer connections.
func latePort(_, _ string, raw syscall.RawConn) error {
	var err error
	if cerr := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	}); cerr != nil {
		return cerr
	}
	return err
}

// memory is what this process takes of the machine's: what is resident.
func memory() uint64 {
	text, err := os.ReadFile("/proc/self/statm")
	var size, resident uint64
	if err == nil {
		_, err = fmt.Sscan(string(text), &size, &resident)
	}
	if err != nil {
		return memoryOfGo()
	}
	return resident * uint64(os.Getpagesize())
}
