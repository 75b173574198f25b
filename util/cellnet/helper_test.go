package cellnet

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// soon is when whatever has to happen has happened, on the slowest machine.
const soon = 30 * time.Second

// within fails the test if f does not become true soon.
func within(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(soon); !f(); {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", soon, what)
		}
		time.Sleep(time.Millisecond)
	}
}

// wait returns what c brings, or fails the test.
func wait[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(soon):
		t.Fatalf("not within %v: %s", soon, what)
		panic("unreachable")
	}
}

// patience is for sessions that have all the time they need to say their last
// words.
var patience = &Config{Linger: soon}

// recorder is a Handler that keeps what it is handed.
type recorder struct {
	onFrame func([]byte) error // may be nil
	onBatch func()             // may be nil
	ended   chan error         // gets the reason; a second one would block

	mu      sync.Mutex
	frames  []string
	batches []int // frames so far at each Batch
}

func newRecorder() *recorder { return &recorder{ended: make(chan error, 1)} }

func (r *recorder) Frame(b []byte) error {
	r.mu.Lock()
	r.frames = append(r.frames, string(b))
	r.mu.Unlock()
	if r.onFrame != nil {
		return r.onFrame(b)
	}
	return nil
}

func (r *recorder) Batch() {
	r.mu.Lock()
	r.batches = append(r.batches, len(r.frames))
	r.mu.Unlock()
	if r.onBatch != nil {
		r.onBatch()
	}
}

func (r *recorder) Closed(reason error) { r.ended <- reason }

func (r *recorder) got() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.frames...)
}

func (r *recorder) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.frames)
}

// echo is a Handler that sends back what it is handed, in batches.
type echo struct {
	s     *Session
	flush bool
	ended chan error // may be nil
}

func (e *echo) Frame(b []byte) error {
	first, err := e.s.Append(b, nil)
	e.flush = e.flush || first
	return err
}

func (e *echo) Batch() {
	if e.flush {
		e.flush = false
		e.s.Flush()
	}
}

func (e *echo) Closed(reason error) {
	if e.ended != nil {
		e.ended <- reason
	}
}

// run runs a session in the background; the test waits for it.
func run(t testing.TB, s *Session, h Handler) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(context.Background(), h)
	}()
	t.Cleanup(func() {
		s.Abort(nil)
		<-done
	})
}

// serve serves a on loopback until the test ends, and returns its address.
func serve(t testing.TB, a *Acceptor) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- a.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return l.Addr().String()
}

// dial connects a session; the test aborts it.
func dial(t testing.TB, url string, cfg *Config) *Session {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	s, err := Dial(ctx, url, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Abort(nil) })
	return s
}

// pair is a TCP connection's two ends as sessions.
func pair(t testing.TB, a, b *Config) (*Session, *Session) {
	t.Helper()
	ca, cb := tcpPair(t)
	return NewSession(ca, a), NewSession(cb, b)
}

func tcpPair(t testing.TB) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if a, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// readAll reads what a connection brings until its end.
func readAll(t testing.TB, c net.Conn) string {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(soon))
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
