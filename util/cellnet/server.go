package cellnet

import (
	"cmp"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// server is one Serve of an Acceptor: its connections and who waits for them.
//
// Locks: server.mu, then Session.mu, then dozer.mu.
type server struct {
	a     *Acceptor
	cfg   *Config
	count *Counters      // never nil
	all   sync.WaitGroup // one for every connection, the sweeper and the dozers
	done  chan struct{}  // closed by end

	dozers []dozer

	began time.Time

	live atomic.Int32 // len(sessions); written under mu

	mu       sync.Mutex
	reason   error              // why the server ends; nil while it serves
	sessions []*Session         // in no order; each knows its place
	taken    int                // sessions, ever
	hosts    map[netip.Addr]int // connections from each; only with MaxPerAddr
}

func newServer(a *Acceptor) *server {
	v := &server{
		a:     a,
		cfg:   a.config(),
		done:  make(chan struct{}),
		began: time.Now(),
		hosts: make(map[netip.Addr]int),

		dozers: make([]dozer, a.loops()),
	}
	for i := range v.dozers {
		v.dozers[i].loops = a.Inline
	}
	if v.count = v.cfg.Counters; v.count == nil {
		v.count = new(Counters)
	}
	v.all.Go(v.sweep)
	return v
}

// end closes all connections and waits for their goroutines.
func (v *server) end(reason error) {
	close(v.done)
	v.mu.Lock()
	v.reason = reason
	sessions := make([]*Session, 0, len(v.sessions))
	for _, s := range v.sessions {
		if s.open {
			sessions = append(sessions, s)
		} else {
			reset(s.conn)
		}
	}
	v.mu.Unlock()
	for _, s := range sessions {
		s.Close(reason)
	}
	for i := range v.dozers {
		v.dozers[i].close()
	}
	v.all.Wait()
}

// take takes a connection in, or rejects it.
func (v *server) take(conn net.Conn) {
	v.count.Accepted.Add(1)
	s := NewSession(conn, v.cfg)
	s.server = v
	if err := v.admit(s); err != nil {
		reset(conn)
		v.tell(conn.RemoteAddr(), err)
		return
	}
	v.all.Add(1)
	go v.open(s)
}

// admit enters a connection, if the limits allow it.
func (v *server) admit(s *Session) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.a.MaxConns > 0 && len(v.sessions) >= v.a.MaxConns {
		v.count.OverLimit.Add(1)
		return ErrTooManyConns
	}
	if v.a.MaxPerAddr > 0 {
		host := hostOf(s.RemoteAddr())
		if v.hosts[host] >= v.a.MaxPerAddr {
			v.count.OverAddrLimit.Add(1)
			return ErrTooManyFromAddr
		}
		v.hosts[host]++
	}
	v.taken++
	s.dozer = &v.dozers[v.taken%len(v.dozers)]
	s.place = len(v.sessions)
	v.sessions = append(v.sessions, s)
	v.live.Add(1)
	return nil
}

// hostOf is the host a connection counts for. All peers without an IP address
// are one host.
func hostOf(addr net.Addr) netip.Addr {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	host := tcp.AddrPort().Addr().Unmap().WithZone("")
	if host.Is6() {
		prefix, _ := host.Prefix(64)
		host = prefix.Addr()
	}
	return host
}

// open is the goroutine of a new connection, until its session runs.
func (v *server) open(s *Session) {
	err := v.shake(s)
	if err != nil {
		v.count.BadHandshake.Add(1)
	} else {
		err = v.enter(s)
	}
	if err != nil {
		s.conn.Close()
		v.tell(s.RemoteAddr(), err)
		v.leave(s)
		return
	}
	h, err := v.a.Open(s)
	if err != nil {
		v.count.OpenRefused.Add(1)
		h = nobody{}
	}
	s.begin(h)
	if err != nil {
		s.Close(err)
	}
	v.run(s)
}

// enter makes a session known that has shaken hands. An error means that the
// server ends.
func (v *server) enter(s *Session) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.reason == nil {
		s.conn.SetDeadline(time.Time{})
		s.open = true
	}
	return v.reason
}

// run reads until the session ends or has been quiet for a while. Then it needs
// no goroutine until there are bytes, or at least a new one: this one's stack
// has grown in handlers.
func (v *server) run(s *Session) {
	switch err := s.read(); {
	case err == ErrHandedOff:
		v.handedOff(s)
	case err != errReadOnce && !s.renew(err):
		v.bury(s, err)
	default:
		s.park() // it may have been retired before it waited
		if !v.doze(s) {
			go v.run(s)
		}
	}
}

// again hands over a frame once more that its handler did not take, because it
// blocks, and reads on.
func (v *server) again(s *Session, frame []byte) {
	if !s.stopped.Load() {
		err := s.handler.Frame(frame)
		if err == ErrHandedOff {
			v.handedOff(s)
			return
		}
		s.cfg.Counters.received(1)
		s.handler.Batch()
		if err != nil {
			s.Close(err)
		}
	}
	v.run(s)
}

// doze makes the session wait without a goroutine, if that is possible.
func (v *server) doze(s *Session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.once = false
	if s.reason == nil && s.deadline.IsZero() {
		s.dozing = s.dozer.add(s, v.all.Go)
		s.stays = !s.dozing
	}
	return s.dozing
}

// bury ends a session that can be read no further because of err.
func (v *server) bury(s *Session, err error) {
	s.finish(err)
	v.leave(s)
}

// loopFrom is how many sessions there must be for loops to read those that are
// not quiet: a loop gathers the writes of many, for a few it is a detour.
const loopFrom = 16

// mayLoop reports whether a loop should go on reading the session.
func (s *Session) mayLoop() bool {
	v := s.server
	if v == nil || !v.a.Inline || v.live.Load() < cmp.Or(v.a.loopFrom, loopFrom) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reason == nil && s.deadline.IsZero() && !s.stays
}

// minDoze is how long a session must have dozed for its reader to read once and
// let it doze again: long enough that a heartbeat is all it has to say, most
// likely. Others get a reader that stays.
const minDoze = 500 * time.Millisecond

// wake starts a reader for a session that dozes. The lock is held.
func (s *Session) wake() {
	if !s.dozing {
		return
	}
	now := time.Since(s.server.began)
	s.once = s.reason == nil && now-s.woken > cmp.Or(s.server.a.minDoze, minDoze)
	s.woken = now
	s.dozing = false
	s.dozer.remove(s)
	go s.server.run(s)
}

// leave strikes off a connection that has ended.
func (v *server) leave(s *Session) {
	v.mu.Lock()
	last := len(v.sessions) - 1
	moved := v.sessions[last]
	moved.place, v.sessions[s.place] = s.place, moved
	v.sessions[last] = nil
	v.sessions = v.sessions[:last]
	v.live.Add(-1)
	if v.a.MaxPerAddr > 0 {
		host := hostOf(s.RemoteAddr())
		if v.hosts[host]--; v.hosts[host] == 0 {
			delete(v.hosts, host)
		}
	}
	v.mu.Unlock()
	v.all.Done()
}

func (v *server) tell(remote net.Addr, reason error) {
	if v.a.Rejected != nil {
		v.a.Rejected(remote, reason)
	}
}

// nobody handles a session that Open refused: it is closing already.
type nobody struct{}

func (nobody) Frame([]byte) error { return nil }
func (nobody) Batch()             {}
func (nobody) Closed(error)       {}
