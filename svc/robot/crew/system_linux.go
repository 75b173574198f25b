package crew

import (
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
