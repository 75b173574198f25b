//go:build unix

package cellnet

import (
	"time"

	"golang.org/x/sys/unix"
)

const (
	// dialogue is after how many reads of a single frame each a session counts
	// as one whose peer says the next thing when it has heard our answer.
	dialogue = 8

	// attendFor is how long a thread waits for that. It is over before Go's
	// scheduler misses the thread's processor.
	attendFor = 2 * time.Millisecond
)

// attend waits for bytes for a moment in the calling thread, if the session is
// in a dialogue and Config.Attend has room: bytes that find a thread waiting are
// read sooner than those that find Go's scheduler waiting, which has a goroutine
// to choose, and other threads to wake that might help.
func (s *Session) attend(fd uintptr) {
	if s.single < dialogue || s.cfg.Attend <= 0 {
		return
	}
	if s.cfg.attending.Add(1) <= int32(s.cfg.Attend) {
		s.park()
		fds := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if n, err := unix.Poll(fds[:], int(attendFor.Milliseconds())); n == 0 && err == nil {
			s.single = 0
		}
	}
	s.cfg.attending.Add(-1)
}
