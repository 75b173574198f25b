package cellnet

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Handler receives what one session reads. Calls come one after the other, from
// the session's own goroutine. (HandOff is the exception, for handlers that ask
// for it.)
type Handler interface {
	// Frame is handed one frame, valid until it returns. An error closes the
	// session with it as reason. It may block: that is backpressure on this
	// peer alone.
	Frame(b []byte) error
	// Batch tells that all that had arrived was handed over. It is called
	// before the session waits for more, and after the last Frame: the place
	// to flush sessions that Frame appended to.
	Batch()
	// Closed is called exactly once, last, with the reason of the end. The
	// connection is closed by then.
	Closed(reason error)
}

// Parting is a Handler that has something to say when its session is closed, by
// whoever and for whatever reason; not when it is cut or the connection fails.
type Parting interface {
	// LastWords returns the last frame for the peer, nil for none. It must not
	// call the session.
	LastWords(reason error) []byte
}

// Session is one connection that carries frames. Its methods may be called by
// any goroutine at any time, but for Run, which is called once.
type Session struct {
	// What a write needs stands first, within 64 bytes: a message for many finds most
	// of its sessions out of the processor's cache.
	mu      sync.Mutex
	cfg     *Config     // set before anyone else knows the session, as are web, sock, conn, server and dozer
	web     *webSocket  // nil: not a WebSocket
	out     []byte      // under mu: whole frames waiting for a write; nil when none
	stopped atomic.Bool // reason is set; saves looking there, and the reader the lock
	writing bool        // under mu: somebody writes, and will see to all that is appended meanwhile
	users   int8        // under mu: who use the descriptor without asking conn
	sealed  bool        // under mu: frames whose head begins with seal are refused
	armed   bool        // under mu: a write deadline is set
	sock    socket      // the way around conn to its descriptor, where there is one

	conn   net.Conn
	server *server // whose Acceptor made the session; nil: none
	dozer  *dozer  // of the server; nil: none

	// Owned by the goroutine that reads.
	in      []byte // read and not handed over yet; nil while there is nothing
	at      int    // how much of in was handed over; only while it is
	need    int    // bytes the frame at the beginning of in has, as far as known
	dropped int    // bytes read and dropped since the session began to close
	alone   uint8  // reads in a row, as far as they matter, that brought one frame
	once    bool   // woken from a doze, to read what is there and doze again
	looped  bool   // read by a loop just now
	left    error  // what its reading has left: for settleLooped

	// Owned by whoever set writing.
	flight []byte // being written, from the beginning of its buffer
	sent   int    // bytes of flight the system has taken
	took   int    // how many of them in the last write
	frames int    // frames in flight

	// Under the server's lock.
	place int  // in its sessions
	open  bool // has shaken hands

	// Owned by the sweeper, under the server's lock.
	seen    uint32 // reads at the last sweep
	silent  uint32 // sweeps since then
	retired bool   // the reader was made to stop waiting

	reads atomic.Uint32           // reads that brought bytes; written by the reader
	ran   atomic.Pointer[runners] // by which HandOff has continued Run; nil: not yet

	handler Handler // set under mu, once, by the goroutine that reads

	// Under mu.
	outFrames int           // frames in out
	pending   int           // bytes appended that the system has not taken yet
	batch     int           // size of the last batch written: how big out begins
	reading   bool          // somebody reads, or will as soon as there is something
	renewing  bool          // the read deadline is the sweeper's
	handed    int32         // HandOffs that a reader of the server has not left for yet
	dozing    bool          // nobody waits for bytes but the dozer
	stays     bool          // the dozer cannot watch it
	woken     time.Duration // when it last was woken from that, by the server's clock
	drained   chan struct{} // closed when writing ends, for the one who waits; nil: nobody
	seal      byte
	reset     bool      // the last of users resets the connection
	deadline  time.Time // of SetReadDeadline; once closing, when Linger is over
	reason    error     // why the session ends; nil while it lives
}

// NewSession makes a session of an established connection, which it owns from
// then on. Nothing is read before Run.
func NewSession(conn net.Conn, cfg *Config) *Session {
	if cfg == nil {
		cfg = &Config{}
	}
	s := &Session{conn: conn, cfg: cfg}
	s.sock.open(s)
	return s
}

// Run reads and hands frames to h until the session is closed, the peer is
// gone, or ctx is done. It returns the reason, which is io.EOF when the peer
// just left. The connection is closed then and no goroutine of the session is
// left.
func (s *Session) Run(ctx context.Context, h Handler) error {
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(closed)
		s.Close(context.Cause(ctx))
	})
	s.begin(h)
	reason := s.runToEnd()
	if !stop() {
		<-closed
	}
	return reason
}

// begin makes the calling goroutine the session's reader.
func (s *Session) begin(h Handler) {
	s.mu.Lock()
	s.handler = h
	s.reading = true
	s.mu.Unlock()
	s.cfg.Counters.opened(1)
}

// RemoteAddr is the peer's address.
func (s *Session) RemoteAddr() net.Addr { return s.conn.RemoteAddr() }

// LocalAddr is our end's address.
func (s *Session) LocalAddr() net.Addr { return s.conn.LocalAddr() }

// IsWebSocket reports whether frames travel as WebSocket messages.
func (s *Session) IsWebSocket() bool { return s.web != nil }

// Reason is why the session ends; nil while it lives.
func (s *Session) Reason() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reason
}

// Ending reports whether there is a Reason.
func (s *Session) Ending() bool { return s.stopped.Load() }

// Pending is how many bytes were appended that the system has not taken yet.
func (s *Session) Pending() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pending
}

// SetReadDeadline closes the session with ErrReadTimeout if it still waits for
// bytes at t. The zero time means never.
func (s *Session) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reason != nil {
		return ErrClosed // closing has a deadline of its own
	}
	s.deadline = t
	s.wake()
	return s.conn.SetReadDeadline(t)
}
