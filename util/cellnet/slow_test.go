package cellnet

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A peer that never reads is cut and counted; a witness on the same acceptor
// echoes all along.
func TestSlowConsumerIsCut(t *testing.T) {
	for _, scheme := range []string{"tcp", "ws"} {
		t.Run(scheme, func(t *testing.T) {
			counters := new(Counters)
			cut := make(chan error, 1)
			opened := make(chan *Session, 2)
			addr := serve(t, &Acceptor{
				Config:    &Config{MaxPending: 64 << 10, Counters: counters},
				WebSocket: true,
				Open: func(s *Session) (Handler, error) {
					opened <- s
					return &echo{s: s, ended: cut}, nil
				},
			})
			witness := dial(t, scheme+"://"+addr+"/", nil)
			rw := newRecorder()
			run(t, witness, rw)
			ping := func() {
				t.Helper()
				n := len(rw.got())
				witness.SendMessage(1, nil)
				within(t, "the witness's echo", func() bool { return len(rw.got()) == n+1 })
			}
			ping()
			wait(t, "witness", opened)

			slow := dial(t, scheme+"://"+addr+"/", nil) // never Run, so it never reads
			slow.SendMessage(1, nil)
			s := wait(t, "slow", opened)
			var err error
			for sent := 0; err == nil && sent < 1<<30; sent += 1000 {
				err = s.Send(make([]byte, 1000), nil)
				if sent%1_000_000 == 0 {
					ping()
				}
			}
			if err != ErrSlowConsumer {
				t.Errorf("Send: %v", err)
			}
			if err := wait(t, "the cut", cut); err != ErrSlowConsumer {
				t.Errorf("reason %v", err)
			}
			if err := s.Send(make([]byte, 10), nil); err != ErrClosed {
				t.Errorf("Send after the cut: %v", err)
			}
			ping()
			if n := counters.SlowCut.Load(); n != 1 {
				t.Errorf("%d slow consumers counted", n)
			}
			if n := counters.Blocked.Load(); n < 1 {
				t.Errorf("blocked %d times", n)
			}
		})
	}
}

func TestRefuseWhenFull(t *testing.T) {
	counters := new(Counters)
	cfg := &Config{Framing: LinkFraming, MaxPending: 10_000, Refuse: true, Counters: counters}
	a, b := pair(t, cfg, cfg)
	run(t, a, newRecorder())
	sent := 0
	for {
		before := a.Pending() // it has only become less by the time that Send looks
		err := a.Send(nil, make([]byte, 1000))
		if err == ErrFull {
			if before+1000 <= 10_000 {
				t.Errorf("refused with %d bytes pending", before)
			}
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		sent++
		if n := a.Pending(); n > 10_000+4 { // a prefix more than was asked for
			t.Fatalf("%d bytes pending", n)
		}
	}
	if counters.Refused.Load() != 1 || a.Reason() != nil {
		t.Errorf("refused %d, reason %v", counters.Refused.Load(), a.Reason())
	}
	rb := newRecorder()
	run(t, b, rb)
	within(t, "all that was taken", func() bool { return len(rb.got()) == sent })
	within(t, "room", func() bool { return a.Pending() == 0 })
	if err := a.Send(nil, []byte("again")); err != nil {
		t.Errorf("Send after there was room: %v", err)
	}
	within(t, "one more", func() bool { return len(rb.got()) == sent+1 })
}

func TestWriteTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		counters := new(Counters)
		ca, cb := net.Pipe()
		defer cb.Close()
		a := NewSession(ca, &Config{WriteTimeout: 7 * time.Second, Counters: counters})
		ra := newRecorder()
		run(t, a, ra)
		start := time.Now()
		a.Send(make([]byte, 100), nil)
		if err := <-ra.ended; err != ErrWriteTimeout {
			t.Errorf("reason %v", err)
		}
		if d := time.Since(start); d != 7*time.Second {
			t.Errorf("after %v", d)
		}
		if counters.SlowCut.Load() != 1 {
			t.Errorf("%d slow consumers counted", counters.SlowCut.Load())
		}
	})
}

// A peer that reads little but steadily is not cut.
func TestWriteProgressIsEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, cb := net.Pipe()
		a := NewSession(ca, &Config{WriteTimeout: 7 * time.Second})
		ra := newRecorder()
		run(t, a, ra)
		a.Send(make([]byte, 98), nil)
		for range 10 {
			time.Sleep(5 * time.Second)
			if n, err := cb.Read(make([]byte, 10)); n != 10 || err != nil {
				t.Fatal(n, err)
			}
		}
		synctest.Wait()
		if a.Reason() != nil || a.Pending() != 0 {
			t.Errorf("reason %v, %d bytes pending", a.Reason(), a.Pending())
		}
		cb.Close()
	})
}

func TestLingerIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, cb := net.Pipe()
		defer cb.Close()
		a := NewSession(ca, &Config{Linger: 3 * time.Second})
		ra := newRecorder()
		run(t, a, ra)
		a.Append(make([]byte, 100), nil)
		start := time.Now()
		mine := errors.New("mine")
		a.Close(mine)
		if err := <-ra.ended; err != mine {
			t.Errorf("reason %v", err)
		}
		if d := time.Since(start); d != 3*time.Second {
			t.Errorf("after %v", d)
		}
	})
}

// A TCP peer that keeps its end open does not keep ours.
func TestLingerWithoutPeer(t *testing.T) {
	ca, cb := tcpPair(t)
	a := NewSession(ca, &Config{Linger: 10 * time.Millisecond})
	ra := newRecorder()
	run(t, a, ra)
	a.Send([]byte("bye"), nil)
	a.Close(nil)
	if err := wait(t, "the end", ra.ended); err != ErrClosed {
		t.Errorf("reason %v", err)
	}
	if got := readAll(t, cb); got != "\x03\x00bye" {
		t.Errorf("the peer got %q", got)
	}
}

func TestReadDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, cb := net.Pipe()
		defer cb.Close()
		a := NewSession(ca, nil)
		ra := newRecorder()
		run(t, a, ra)
		a.SetReadDeadline(time.Now().Add(time.Minute))
		cb.Write([]byte{2, 0, 1}) // half a frame, then silence
		start := time.Now()
		if err := <-ra.ended; err != ErrReadTimeout {
			t.Errorf("reason %v", err)
		}
		if d := time.Since(start); d != time.Minute {
			t.Errorf("after %v", d)
		}
	})
}

// A handler that blocks holds up its own peer alone, and only when the system's
// buffers are full.
func TestHandlerMayBlock(t *testing.T) {
	a, b := Pipe(nil, nil)
	rb := newRecorder()
	release := make(chan struct{})
	rb.onFrame = func([]byte) error { <-release; return nil }
	run(t, a, newRecorder())
	run(t, b, rb)
	for range 1000 {
		if err := a.SendMessage(1, make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
	}
	if a.Pending() < 50_000 {
		t.Errorf("only %d bytes are pending", a.Pending())
	}
	close(release)
	within(t, "1000 frames", func() bool { return len(rb.got()) == 1000 })
}

// Many sessions are cut at the same time as others go on.
func TestSlowAmongMany(t *testing.T) {
	const fast, slow, frames = 5, 5, 600
	counters := new(Counters)
	var mu sync.Mutex
	var servers []*Session
	addr := serve(t, &Acceptor{
		Config: &Config{MaxPending: 256 << 10, Counters: counters},
		Open: func(s *Session) (Handler, error) {
			mu.Lock()
			defer mu.Unlock()
			servers = append(servers, s)
			return newRecorder(), nil
		},
	})
	var readers []*recorder
	for i := range fast + slow {
		s := dial(t, "tcp://"+addr, nil)
		s.SendMessage(1, nil)
		if i < fast {
			r := newRecorder()
			readers = append(readers, r)
			run(t, s, r)
		}
	}
	within(t, "all open", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(servers) == fast+slow
	})
	body := make([]byte, 20_000)
	for i := range frames {
		for _, s := range servers {
			s.SendMessage(uint16(i), body)
		}
		// The fast are never more than a little behind, as a game's pace would have it.
		within(t, fmt.Sprint("frame ", i), func() bool {
			for _, r := range readers {
				if r.count() < i-10 {
					return false
				}
			}
			return true
		})
	}
	within(t, "the last frames", func() bool {
		for _, r := range readers {
			if r.count() != frames {
				return false
			}
		}
		return true
	})
	if n := counters.SlowCut.Load(); n != slow {
		t.Errorf("%d slow consumers counted, want %d", n, slow)
	}
}
