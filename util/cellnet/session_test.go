package cellnet

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

var link = &Config{Framing: LinkFraming}

// ends returns the two ends of a connection of each kind there is.
var ends = map[string]func(t testing.TB, a, b *Config) (*Session, *Session){
	"tcp":  pair,
	"pipe": func(_ testing.TB, a, b *Config) (*Session, *Session) { return Pipe(a, b) },
	"ws":   webPair,
}

// webPair is a WebSocket's two ends, without a handshake.
func webPair(t testing.TB, a, b *Config) (*Session, *Session) {
	client, server := pair(t, a, b)
	client.web = &webSocket{masks: true}
	server.web = &webSocket{}
	return client, server
}

func TestCloseDeliversFirst(t *testing.T) {
	for kind, connect := range ends {
		t.Run(kind, func(t *testing.T) {
			a, b := connect(t, patience, nil)
			ra, rb := newRecorder(), newRecorder()
			run(t, a, ra)
			const n = 900
			for range n {
				if _, err := a.Append([]byte("head"), make([]byte, 1000)); err != nil {
					t.Fatal(err)
				}
			}
			mine := errors.New("my reason")
			a.Close(mine)
			a.Close(errors.New("too late"))
			if _, err := a.Append(nil, []byte("xx")); err != ErrClosed {
				t.Errorf("Append after Close: %v", err)
			}
			run(t, b, rb)
			if err := wait(t, "b ended", rb.ended); err != io.EOF {
				t.Errorf("b ended with %v", err)
			}
			if err := wait(t, "a ended", ra.ended); err != mine || a.Reason() != mine {
				t.Errorf("a ended with %v", err)
			}
			if len(rb.got()) != n {
				t.Errorf("%d of %d frames arrived", len(rb.got()), n)
			}
		})
	}
}

// Bytes from the peer that nobody reads would make the system send a reset,
// and a reset can cost the peer our last words.
func TestCloseWhilePeerSends(t *testing.T) {
	a, b := pair(t, patience, nil)
	ra, rb := newRecorder(), newRecorder()
	ra.onFrame = func([]byte) error {
		a.Send([]byte("last words"), nil)
		return errors.New("enough")
	}
	for range 200 {
		b.Send([]byte("xx"), make([]byte, 1000))
	}
	run(t, a, ra)
	wait(t, "a's reason", after(func() bool { return a.Reason() != nil }))
	run(t, b, rb)
	if err := wait(t, "b ended", rb.ended); err != io.EOF {
		t.Errorf("b ended with %v", err)
	}
	if got := rb.got(); len(got) != 1 || got[0] != "last words" {
		t.Errorf("b got %q", got)
	}
	if n := len(ra.got()); n != 1 {
		t.Errorf("%d frames were handed over, 1 before the end", n)
	}
}

// after is a channel that is closed when f has become true.
func after(f func() bool) <-chan struct{} {
	c := make(chan struct{})
	go func() {
		defer close(c)
		for end := time.Now().Add(soon); !f() && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
	}()
	return c
}

func TestCloseWithoutRun(t *testing.T) {
	for kind, connect := range ends {
		t.Run(kind, func(t *testing.T) {
			a, b := connect(t, patience, nil)
			rb := newRecorder()
			run(t, b, rb)
			a.Send([]byte("bye"), nil)
			a.Close(nil)
			if err := wait(t, "b ended", rb.ended); err != io.EOF {
				t.Errorf("b ended with %v", err)
			}
			if len(rb.got()) != 1 {
				t.Errorf("b got %q", rb.got())
			}
			ra := newRecorder()
			if err := a.Run(context.Background(), ra); err != ErrClosed || wait(t, "Closed", ra.ended) != ErrClosed {
				t.Errorf("Run of a closed session: %v", err)
			}
		})
	}
}

func TestRunEndsWithContext(t *testing.T) {
	for kind, connect := range ends {
		t.Run(kind, func(t *testing.T) {
			a, b := connect(t, nil, nil)
			run(t, b, newRecorder())
			cause := errors.New("shutting down")
			ctx, cancel := context.WithCancelCause(context.Background())
			ended := make(chan error)
			go func() { ended <- a.Run(ctx, newRecorder()) }()
			cancel(cause)
			if err := wait(t, "Run", ended); err != cause {
				t.Errorf("Run: %v", err)
			}
		})
	}
}

func TestPeerEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(net.Conn)
		want error
	}{
		{"close", func(c net.Conn) { c.Close() }, io.EOF},
		{"half a frame, close", func(c net.Conn) { c.Write([]byte{9, 0, 1}); c.Close() }, io.ErrUnexpectedEOF},
		{"reset", func(c net.Conn) { reset(c) }, syscall.ECONNRESET},
		{"frame without ID", func(c net.Conn) { c.Write([]byte{1, 0, 7}) }, ErrShortFrame},
		{"empty frame", func(c net.Conn) { c.Write([]byte{0, 0}) }, ErrShortFrame},
		{"large frame", func(c net.Conn) { c.Write([]byte{0x01, 0x04}) }, ErrFrameTooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			ca, cb := tcpPair(t)
			s := NewSession(ca, &Config{MaxFrame: 1024, Linger: 10 * time.Millisecond})
			r := newRecorder()
			run(t, s, r)
			c.do(cb)
			if err := wait(t, "the end", r.ended); !errors.Is(err, c.want) {
				t.Errorf("reason %v, want %v", err, c.want)
			}
			if ReasonLabel(s.Reason()) == "other" {
				t.Errorf("no label for %v", s.Reason())
			}
		})
	}
}

func TestAbort(t *testing.T) {
	for kind, connect := range ends {
		t.Run(kind, func(t *testing.T) {
			a, b := connect(t, nil, nil)
			ra, rb := newRecorder(), newRecorder()
			run(t, a, ra)
			run(t, b, rb)
			mine := errors.New("now")
			a.Append([]byte("never sent"), nil)
			a.Abort(mine)
			if err := wait(t, "a ended", ra.ended); err != mine {
				t.Errorf("a ended with %v", err)
			}
			if err := wait(t, "b ended", rb.ended); ReasonLabel(err) != "reset" && ReasonLabel(err) != "eof" {
				t.Errorf("b ended with %v", err)
			}
			if len(rb.got()) != 0 {
				t.Errorf("b got %q", rb.got())
			}
		})
	}
}

func TestHandlerErrorIsReason(t *testing.T) {
	a, b := Pipe(nil, nil)
	ra, rb := newRecorder(), newRecorder()
	no := errors.New("no")
	ra.onFrame = func([]byte) error { return no }
	run(t, a, ra)
	run(t, b, rb)
	b.SendMessage(1, nil)
	if err := wait(t, "a ended", ra.ended); err != no {
		t.Errorf("a ended with %v", err)
	}
	if len(ra.batches) != 1 {
		t.Errorf("batches after the last frame: %v", ra.batches)
	}
}

func TestFrameSizes(t *testing.T) {
	for kind, connect := range ends {
		t.Run(kind, func(t *testing.T) {
			a, b := connect(t, nil, nil)
			rb := newRecorder()
			run(t, a, newRecorder())
			run(t, b, rb)
			sizes := []int{2, 3, 125, 126, 127, 1000, 4096, 16384, 65534, 65535}
			for _, n := range sizes {
				if err := a.Send(make([]byte, n), nil); err != nil {
					t.Fatal(err)
				}
			}
			within(t, "all sizes", func() bool { return len(rb.got()) == len(sizes) })
			for i, n := range sizes {
				if len(rb.got()[i]) != n {
					t.Errorf("frame %d has %d bytes, want %d", i, len(rb.got()[i]), n)
				}
			}
			if err := a.Send(make([]byte, 65536), nil); err != ErrFrameTooLarge {
				t.Errorf("65536 bytes: %v", err)
			}
			if err := a.Send([]byte{1}, nil); err != ErrShortFrame {
				t.Errorf("1 byte: %v", err)
			}
		})
	}
}

func TestLinkFrameSizes(t *testing.T) {
	for _, kind := range []string{"tcp", "pipe"} {
		t.Run(kind, func(t *testing.T) {
			a, b := ends[kind](t, link, link)
			rb := newRecorder()
			run(t, a, newRecorder())
			run(t, b, rb)
			sizes := []int{0, 1, 65536, 256<<10 - 4, 256 << 10, 1 << 20, 8 << 20, 0}
			for _, n := range sizes {
				if err := a.Send(nil, make([]byte, n)); err != nil {
					t.Fatal(err)
				}
			}
			within(t, "all sizes", func() bool { return len(rb.got()) == len(sizes) })
			for i, n := range sizes {
				if len(rb.got()[i]) != n {
					t.Errorf("frame %d has %d bytes, want %d", i, len(rb.got()[i]), n)
				}
			}
			if err := a.Send(nil, make([]byte, 8<<20+1)); err != ErrFrameTooLarge {
				t.Errorf("8 MiB and a byte: %v", err)
			}
		})
	}
}

// A frame's head alone must not make room for the frame, and half a frame must
// not hold a large buffer while the session waits for the rest.
func TestHalfFrameHoldsLittle(t *testing.T) {
	s, peer := Pipe(link, link)
	defer peer.Abort(nil)
	s.begin(newRecorder())
	defer s.finish(io.EOF)
	bring := func(b []byte) (held int) {
		for len(b) > 0 {
			n := copy(s.room(), b)
			s.received(n, nil)
			b = b[n:]
		}
		s.park()
		return cap(s.in)
	}
	const size = 8 << 20
	if held := bring(binary.LittleEndian.AppendUint32(nil, size)); held != 1<<8 {
		t.Errorf("a head holds %d bytes", held)
	}
	if held := bring(make([]byte, 100<<10)); held > 400<<10 {
		t.Errorf("100 KiB of a frame hold %d bytes", held)
	}
	if held := bring(make([]byte, size-100<<10)); held != 0 {
		t.Errorf("nothing holds %d bytes", held)
	}
	if held := bring(binary.LittleEndian.AppendUint32(nil, size+1)); held != 0 || !errors.Is(s.Reason(), ErrFrameTooLarge) {
		t.Errorf("a frame that is too large holds %d bytes, reason %v", held, s.Reason())
	}
}

func TestOneBatchPerRead(t *testing.T) {
	c, peer := tcpPair(t)
	r := newRecorder()
	var packets []byte
	for range 50 {
		packets = append(packets, unhex(t, golden[2].hex)...)
	}
	peer.Write(packets)
	run(t, NewSession(c, nil), r)
	within(t, "50 frames", func() bool { return len(r.got()) == 50 })
	peer.Write(packets[:len(packets)/2+3]) // ends in a frame
	within(t, "25 frames", func() bool { return len(r.got()) == 75 })
	peer.Write(packets[len(packets)/2+3:])
	within(t, "25 frames", func() bool { return len(r.got()) == 100 })
	peer.Close()
	wait(t, "the end", r.ended)
	if got := fmt.Sprint(r.batches); got != "[50 75 100]" {
		t.Errorf("batches after frames %s", got)
	}
}

func TestOrderUnderConcurrentWriters(t *testing.T) {
	for kind, connect := range ends {
		t.Run(kind, func(t *testing.T) {
			const writers, frames = 8, 2000
			counters := new(Counters)
			a, b := connect(t, &Config{MaxPending: 1 << 30, Gather: always, Counters: counters}, nil)
			rb := newRecorder()
			run(t, a, newRecorder())
			run(t, b, rb)
			var all sync.WaitGroup
			for w := range writers {
				all.Go(func() {
					for i := range uint16(frames) {
						body := binary.LittleEndian.AppendUint16(nil, i)
						if err := a.SendMessage(uint16(w), body); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
			within(t, "all frames", func() bool { return len(rb.got()) == writers*frames })
			var next [writers]uint16
			for _, f := range rb.got() {
				w, i := MessageID([]byte(f)), binary.LittleEndian.Uint16([]byte(f[2:]))
				if i != next[w] {
					t.Fatalf("writer %d: frame %d where %d was due", w, i, next[w])
				}
				next[w]++
			}
			// The peer may have them before the write that sent them is counted.
			within(t, "all frames are counted", func() bool { return counters.FramesOut.Load() == writers*frames })
		})
	}
}

// Whoever was told that it is first flushes, nobody else does: still every
// frame must leave.
func TestNoLostWakeup(t *testing.T) {
	for kind, connect := range ends {
		t.Run(kind, func(t *testing.T) {
			a, b := connect(t, nil, nil)
			var got atomic.Int64
			rb := newRecorder()
			rb.onFrame = func([]byte) error { got.Add(1); return nil }
			run(t, a, newRecorder())
			run(t, b, rb)
			const rounds, writers = 300, 4
			for round := range int64(rounds) {
				var all sync.WaitGroup
				for range writers {
					all.Go(func() {
						first, err := a.AppendMessage(1, nil)
						if err != nil {
							t.Error(err)
						}
						if first {
							for range rand.IntN(3) {
								time.Sleep(0)
							}
							a.Flush()
						}
					})
				}
				all.Wait()
				within(t, "all frames of the round", func() bool { return got.Load() == (round+1)*writers })
			}
		})
	}
}

func TestWritesAreBatched(t *testing.T) {
	counters := new(Counters)
	a, b := pair(t, &Config{Counters: counters}, nil)
	rb := newRecorder()
	run(t, b, rb)
	firsts := 0
	for range 100 {
		first, err := a.AppendMessage(1, []byte("hello"))
		if err != nil {
			t.Fatal(err)
		}
		if first {
			firsts++
		}
	}
	if a.Pending() != 100*9 {
		t.Errorf("pending %d", a.Pending())
	}
	a.Flush()
	within(t, "100 frames", func() bool { return len(rb.got()) == 100 })
	if firsts != 1 || counters.Writes.Load() != 1 || counters.BytesOut.Load() != 900 || counters.FramesOut.Load() != 100 {
		t.Errorf("first %d times, %d writes of %d bytes and %d frames",
			firsts, counters.Writes.Load(), counters.BytesOut.Load(), counters.FramesOut.Load())
	}
	if a.Pending() != 0 {
		t.Errorf("pending %d", a.Pending())
	}
	a.Close(nil)
}

// countingConn counts writes, as the other side of a session sees them.
type countingConn struct {
	net.Conn
	writes atomic.Int64
}

func (c *countingConn) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(b)
}

func TestPlainWritesAreBatched(t *testing.T) {
	ours, theirs := net.Pipe()
	counting := &countingConn{Conn: ours}
	a, b := NewSession(counting, nil), NewSession(theirs, nil)
	rb := newRecorder()
	run(t, a, newRecorder())
	run(t, b, rb)
	for range 100 {
		a.AppendMessage(1, []byte("hello"))
	}
	a.Flush()
	a.Flush() // finds a flush under way, or nothing to do
	within(t, "100 frames", func() bool { return rb.count() == 100 })
	if n := counting.writes.Load(); n != 1 {
		t.Errorf("%d writes for 100 frames", n)
	}
}

func always() bool { return true }

// Many append while one write is under way: what they append leaves together.
func TestGatherJoinsWriters(t *testing.T) {
	const writers, rounds = 50, 100
	counters := new(Counters)
	a, b := pair(t, &Config{Framing: LinkFraming, Gather: always, Counters: counters}, link)
	rb := newRecorder()
	run(t, b, rb)
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for range rounds {
				a.Send(nil, []byte("hello"))
				runtime.Gosched()
			}
		})
	}
	all.Wait()
	within(t, "all frames", func() bool { return rb.count() == writers*rounds })
	if writes := counters.Writes.Load(); writes > writers*rounds/2 {
		t.Errorf("%d writes for %d frames", writes, writers*rounds)
	}
	a.Close(nil)
}

func TestEverythingAtOnce(t *testing.T) {
	for kind, connect := range ends {
		t.Run(kind, func(t *testing.T) {
			for round := range 20 {
				a, b := connect(t, &Config{Linger: 50 * time.Millisecond}, nil)
				ra, rb := newRecorder(), newRecorder()
				run(t, a, ra)
				run(t, b, rb)
				var all sync.WaitGroup
				for g := range 6 {
					all.Go(func() {
						for i := range 200 {
							switch {
							case g == 5 && i == 100 && round%2 == 0:
								a.Abort(errors.New("abort"))
							case g == 4 && i == 100:
								a.Close(errors.New("close"))
							case g == 3:
								a.SetReadDeadline(time.Now().Add(time.Hour))
								a.Pending()
								a.Reason()
							}
							if first, err := a.AppendMessage(1, make([]byte, 100)); err != nil && err != ErrClosed {
								t.Error(err)
							} else if first {
								a.Flush()
							}
						}
					})
				}
				all.Wait()
				wait(t, "a's end", ra.ended)
				wait(t, "b's end", rb.ended)
			}
		})
	}
}
