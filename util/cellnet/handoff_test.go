package cellnet

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"
)

// patient is a Handler whose "slow" frames are taken over from.
type patient struct {
	*recorder
	s       *Session
	release chan struct{} // closed when slow frames may return
	late    bool          // HandOff comes after Frame has returned
	kept    chan string   // what slow frames look like in the end
}

func (p *patient) Frame(b []byte) error {
	p.recorder.Frame(b)
	if string(b[2:]) != "slow" {
		return nil
	}
	if p.late {
		p.kept <- string(b)
		time.AfterFunc(time.Millisecond, p.s.HandOff)
		return ErrHandedOff
	}
	p.s.HandOff()
	<-p.release
	p.kept <- string(b)
	return ErrHandedOff
}

func TestHandOff(t *testing.T) {
	const slow = 3
	for _, late := range []bool{false, true} {
		for _, accepted := range []bool{false, true} {
			t.Run(fmt.Sprintf("late %v accepted %v", late, accepted), func(t *testing.T) {
				p := &patient{recorder: newRecorder(), release: make(chan struct{}), late: late, kept: make(chan string, slow)}
				var client *Session
				ran := make(chan error, 1)
				if accepted {
					client = dial(t, "tcp://"+serve(t, &Acceptor{
						Open: func(s *Session) (Handler, error) { p.s = s; return p, nil },
					}), nil)
					ran <- nil
				} else {
					client, p.s = pair(t, nil, nil)
					go func() { ran <- p.s.Run(context.Background(), p) }()
				}
				for i := range slow {
					// One write: what follows the slow frame is in its buffer.
					client.AppendMessage(0, fmt.Append(nil, "before ", i))
					client.AppendMessage(0, []byte("slow"))
					client.AppendMessage(0, fmt.Append(nil, "after ", i))
					client.Flush()
					within(t, "the frames after", func() bool { return p.count() == 3*(i+1) })
				}
				client.Close(nil)
				if err := wait(t, "the end", p.ended); err != io.EOF {
					t.Errorf("reason %v", err)
				}
				close(p.release)
				for range slow {
					if got := wait(t, "slow frame", p.kept); got != "\x00\x00slow" {
						t.Errorf("a slow frame became %q", got)
					}
				}
				wait(t, "Run", ran)
				for i := range slow {
					got := fmt.Sprintf("%q", p.got()[3*i:3*i+3])
					want := fmt.Sprintf("%q", []string{fmt.Sprint("\x00\x00before ", i), "\x00\x00slow", fmt.Sprint("\x00\x00after ", i)})
					if got != want {
						t.Errorf("got %s, want %s", got, want)
					}
				}
			})
		}
	}
}
