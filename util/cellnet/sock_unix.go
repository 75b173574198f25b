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

	got        int           // by the last read; owned by the reader
	readErrno  syscall.Errno // of the last read; owned by the reader
	writeErrno syscall.Errno // of the last write; owned as Session.flight is
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

// tryWrite writes once without waiting and leaves in s.took what was taken.
func (k *socket) tryWrite(s *Session) error {
	s.writable(uintptr(k.fd))
	return s.writeError()
}

// waitWrite waits until something was taken, or the write deadline.
func (k *socket) waitWrite(s *Session) error {
	s.took = 0 // if it is closed already
	err := k.raw.Write(func(fd uintptr) bool {
		s.writable(fd)
		return s.took > 0 || k.writeErrno != 0
	})
	if err != nil {
		return err
	}
	return s.writeError()
}

func (s *Session) writable(fd uintptr) bool {
	s.took, s.sock.writeErrno = sysTryWrite(int(fd), s.flight[s.sent:])
	return true
}

// sysTryWrite writes what the system takes at the moment.
func sysTryWrite(fd int, b []byte) (int, syscall.Errno) {
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

func (s *Session) writeError() error {
	if s.sock.writeErrno == 0 {
		return nil
	}
	return s.opError("write", s.sock.writeErrno)
}

func (s *Session) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: s.conn.LocalAddr(), Addr: s.conn.RemoteAddr(), Err: os.NewSyscallError(op, err)}
}
