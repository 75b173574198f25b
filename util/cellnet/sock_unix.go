//go:build unix

package cellnet

import (
	"io"
	"net"
	"os"
	"syscall"
)

// socket reads and writes a TCP connection's descriptor itself: a buffer is
// taken only when there are bytes for it, and a write never waits. The zero
// socket is not usable: the connection has no descriptor to get at.
type socket struct {
	fd      int32 // of conn; for those who are counted as Session.users
	is      bool  // usable
	watched bool  // by the dozer; under the session's lock

	raw        syscall.RawConn
	onReadable func(fd uintptr) bool // made once, because it costs an allocation

	got       int           // by the last read; owned by the reader
	readErrno syscall.Errno // of the last read; owned by the reader
}

func (k *socket) open(s *Session) {
	tcp, ok := s.conn.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	if raw.Control(func(fd uintptr) { k.fd = int32(fd) }) != nil {
		return // closed already
	}
	k.is, k.raw, k.onReadable = true, raw, s.readable
}

func (k *socket) usable() bool { return k.is }

// read waits for bytes, takes room for them and reads. Handlers run outside of
// it: as long as it is entered, closing the connection waits for it.
func (k *socket) read(s *Session) (n int, err error) {
	if err := k.raw.Read(k.onReadable); err != nil {
		return 0, err
	}
	switch {
	case k.readErrno == syscall.EAGAIN:
		return 0, nil
	case k.readErrno != 0:
		return 0, s.opError("read", k.readErrno)
	case k.got == 0:
		return 0, io.EOF
	}
	return k.got, nil
}

// tryRead reads once without waiting. The caller is one of Session.users, as
// with tryWrite.
func (k *socket) tryRead(s *Session) (n int, err error) {
	for {
		switch n, errno := sysRead(int(k.fd), s.room()); errno {
		case 0:
			if n == 0 {
				return 0, io.EOF
			}
			return n, nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, nil
		default:
			return 0, s.opError("read", errno)
		}
	}
}

// readable is called when there may be bytes; false means wait for more.
func (s *Session) readable(fd uintptr) bool {
	k := &s.sock
	s.attend(fd)
	for {
		n, errno := sysRead(int(fd), s.room())
		switch errno {
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			s.park()
			if s.once {
				k.readErrno = syscall.EAGAIN
				return true
			}
			return false
		}
		k.readErrno, k.got = errno, n
		return true
	}
}

// tryWrite writes b once without waiting and returns how much was taken. The caller
// is one of Session.users.
func (k *socket) tryWrite(s *Session, b []byte) (int, error) {
	n, errno := tryWrite(int(k.fd), b)
	if errno != 0 {
		return 0, s.opError("write", errno)
	}
	return n, nil
}

// waitWrite waits until some of s.flight was taken, or the write deadline.
func (k *socket) waitWrite(s *Session) error {
	var errno syscall.Errno
	s.took = 0
	err := k.raw.Write(func(fd uintptr) bool {
		s.took, errno = tryWrite(int(fd), s.flight[s.sent:])
		return s.took > 0 || errno != 0
	})
	if err == nil && errno != 0 {
		err = s.opError("write", errno)
	}
	return err
}

func tryWrite(fd int, b []byte) (int, syscall.Errno) {
	for {
		switch n, errno := sysWrite(fd, b); errno {
		case 0:
			return n, 0
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, 0
		default:
			return 0, errno
		}
	}
}

// outcome is what a system call has returned.
func outcome(n int, err error) (int, syscall.Errno) {
	errno, _ := err.(syscall.Errno)
	return n, errno
}

func (s *Session) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: s.conn.LocalAddr(), Addr: s.conn.RemoteAddr(), Err: os.NewSyscallError(op, err)}
}
