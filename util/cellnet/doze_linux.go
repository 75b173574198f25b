package cellnet

import (
	"errors"
	"os"
	"runtime"
	"sync"
	"syscall"
)

// dozer watches connections that need no goroutine of their own to wait for
// bytes: one epoll instance, and one goroutine. It starts readers for those that
// have become readable, or reads them itself if it loops (loop_linux.go). The
// zero dozer is ready.
//
// A connection stays registered with the runtime's poller as well; that does
// not matter to either.
type dozer struct {
	loops bool

	mu     sync.Mutex
	file   *os.File   // the epoll instance; nil before it is needed
	asleep []*Session // by descriptor, which are small; nil: none
	closed bool

	loop loop // owned by watch
}

// loops is how many dozers a server of a has.
func (a *Acceptor) loops() int {
	if a.Inline {
		return max(1, runtime.GOMAXPROCS(0)/2)
	}
	return 1
}

// add watches s, whose lock is held. False: it cannot be watched.
func (d *dozer) add(s *Session, start func(func())) bool {
	if !s.sock.usable() {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.open(start) {
		return false
	}
	if err := d.control(s); err != nil {
		return false // a goroutine will do
	}
	s.sock.watched = true
	if n := int(s.sock.fd) + 1 - len(d.asleep); n > 0 {
		d.asleep = append(d.asleep, make([]*Session, n)...)
	}
	d.asleep[s.sock.fd] = s
	return true
}

const edgeTriggered = 1 << 31 // syscall.EPOLLET is negative

// control registers the connection of s, so that bytes which are there already
// count: for one event, or, for a loop, for every time that bytes come.
func (d *dozer) control(s *Session) error {
	epoll, err := d.file.SyscallConn()
	if err != nil {
		return err
	}
	op := syscall.EPOLL_CTL_ADD
	if s.sock.watched {
		op = syscall.EPOLL_CTL_MOD
	}
	event := syscall.EpollEvent{Events: syscall.EPOLLIN | syscall.EPOLLRDHUP}
	if d.loops {
		event.Events |= edgeTriggered
	} else {
		event.Events |= syscall.EPOLLONESHOT
	}
	var epollErr, connErr, ctlErr error
	epollErr = epoll.Control(func(efd uintptr) {
		connErr = s.sock.raw.Control(func(fd uintptr) {
			event.Fd = int32(fd)
			ctlErr = syscall.EpollCtl(int(efd), op, int(fd), &event)
		})
	})
	return errors.Join(epollErr, connErr, ctlErr)
}

// remove forgets s, whose lock is held. Its descriptor may be another's by now. An
// event that is under way does no harm: it wakes nobody, or somebody in vain.
func (d *dozer) remove(s *Session) {
	d.mu.Lock()
	if i := int(s.sock.fd); i < len(d.asleep) && d.asleep[i] == s {
		d.asleep[i] = nil
	}
	d.mu.Unlock()
}

// open makes the epoll instance with the first session. The lock is held.
func (d *dozer) open(start func(func())) bool {
	if d.closed || d.file != nil {
		return !d.closed
	}
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return false
	}
	syscall.SetNonblock(fd, true) // makes os.File wait for it by the runtime's poller
	d.file = os.NewFile(uintptr(fd), "epoll")
	start(d.watch)
	return true
}

func (d *dozer) close() {
	d.mu.Lock()
	d.closed = true
	file := d.file
	d.mu.Unlock()
	if file != nil {
		file.Close() // waits for watch, which may wait for the lock
	}
}

// maxEvents is how many events are taken at a time.
const maxEvents = 128

// watch is the dozer's goroutine.
func (d *dozer) watch() {
	epoll, err := d.file.SyscallConn()
	if err != nil {
		return
	}
	var events [maxEvents]syscall.EpollEvent
	var found [maxEvents]*Session
	epoll.Read(func(fd uintptr) bool {
		for {
			n, err := syscall.EpollWait(int(fd), events[:], 0)
			if n <= 0 && err != syscall.EINTR {
				return false // until there are more, or close
			}
			n = max(n, 0)
			d.mu.Lock()
			for i := range n {
				found[i] = d.asleep[events[i].Fd]
			}
			d.mu.Unlock()
			if d.loops {
				d.loop.read(found[:n], events[:n])
			} else {
				wakeAll(found[:n])
			}
			clear(found[:n])
			if n < maxEvents {
				return false
			}
		}
	})
}

func wakeAll(found []*Session) {
	for _, s := range found {
		if s != nil {
			s.mu.Lock()
			s.wake()
			s.mu.Unlock()
		}
	}
}
