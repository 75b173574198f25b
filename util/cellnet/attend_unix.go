//go:build unix

package cellnet

import (
	"cmp"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// attendFor is how long a session attends: less than the 10 ms after which Go's
// scheduler takes the processor from a thread in a system call that nobody else
// needs, and no more than others can wait if they do.
const attendFor = 2 * time.Millisecond

// attend waits for a session's next bytes in the calling thread, if there is a
// dialogue and Config.Attend has room. Bytes that find a thread waiting for just
// them are read some 10 us sooner than bytes that Go's poller is told of: that one
// wakes a thread to find a goroutine for, and that thread another one to help it.
//
// What else ends waiting, a deadline or the session's end, is seen when the moment
// is over.
func (s *Session) attend(fd uintptr) {
	if s.alone < dialogue || s.cfg.Attend == 0 {
		return
	}
	if atomic.AddInt32(&s.cfg.attending, 1) <= int32(s.cfg.Attend) {
		s.park()
		fds := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if n, err := unix.Poll(fds[:], int(cmp.Or(s.cfg.attendFor, attendFor).Milliseconds())); n == 0 && err == nil {
			s.alone = 0
		}
	}
	atomic.AddInt32(&s.cfg.attending, -1)
}
