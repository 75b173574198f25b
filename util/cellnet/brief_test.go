package cellnet

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// A brief session delivers all it has, more than a socket takes at once too,
// and does not wait for its peer to close.
func TestBriefClose(t *testing.T) {
	mine := errors.New("my reason")
	for name, frames := range map[string]int{"little": 1, "much": 800} {
		t.Run(name, func(t *testing.T) {
			ended := newRecorder()
			addr := serve(t, &Acceptor{
				Config: &Config{Brief: true, Linger: time.Minute, MaxPending: 64 << 20},
				Open: func(s *Session) (Handler, error) {
					return &answering{recorder: ended, s: s, frames: frames, reason: mine}, nil
				},
			})
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.Write([]byte{2, 0, 1, 0}); err != nil {
				t.Fatal(err)
			}
			if frames == 1 { // all is in the system's hands at once
				if err := wait(t, "the server's end", ended.ended); err != mine {
					t.Errorf("ended with %v", err)
				}
			}
			c.SetReadDeadline(time.Now().Add(soon))
			var head [2]byte
			for i := range frames {
				if _, err := io.ReadFull(c, head[:]); err != nil {
					t.Fatalf("frame %d: %v", i, err)
				}
				if _, err := io.CopyN(io.Discard, c, int64(binary.LittleEndian.Uint16(head[:]))); err != nil {
					t.Fatalf("frame %d: %v", i, err)
				}
			}
			if n, err := c.Read(head[:]); err != io.EOF {
				t.Errorf("after all: %d bytes, %v", n, err)
			}
			if frames > 1 {
				if err := wait(t, "the server's end", ended.ended); err != mine {
					t.Errorf("ended with %v", err)
				}
			}
		})
	}
}

// answering answers the first frame with many and closes.
type answering struct {
	*recorder
	s      *Session
	frames int
	reason error
}

func (a *answering) Frame([]byte) error {
	for range a.frames {
		if err := a.s.Send(make([]byte, 30_000), nil); err != nil {
			return err
		}
	}
	a.s.Close(a.reason)
	return nil
}
