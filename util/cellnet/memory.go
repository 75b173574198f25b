package cellnet

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
)

// Pipe returns the two ends of a connection in memory. The ends may have
// different configurations but must agree on the framing.
func Pipe(a, b *Config) (*Session, *Session) {
	ca, cb := net.Pipe()
	return NewSession(ca, a), NewSession(cb, b)
}

// MemoryNetwork is a network within the process, for tests of many peers
// without sockets. The zero MemoryNetwork is ready. Its Dial is made for
// Config.DialContext.
type MemoryNetwork struct {
	mu        sync.Mutex
	listeners map[string]*memoryListener
	last      int // last port given out
}

// Listen listens at addr. A port 0, or no addr at all, gets a port that no
// one had before.
func (m *MemoryNetwork) Listen(addr string) (net.Listener, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if host, ok := strings.CutSuffix(addr, ":0"); ok || addr == "" {
		if host == "" {
			host = "memory"
		}
		m.last++
		addr = net.JoinHostPort(host, strconv.Itoa(m.last))
	}
	if m.listeners[addr] != nil {
		return nil, fmt.Errorf("cellnet: listen %s: address already in use", addr)
	}
	if m.listeners == nil {
		m.listeners = make(map[string]*memoryListener)
	}
	l := &memoryListener{network: m, addr: memoryAddr(addr), conns: make(chan net.Conn), closed: make(chan struct{})}
	m.listeners[addr] = l
	return l, nil
}

// Dial connects to the listener at addr and returns when it has accepted.
func (m *MemoryNetwork) Dial(ctx context.Context, _, addr string) (net.Conn, error) {
	m.mu.Lock()
	l := m.listeners[addr]
	m.last++
	from := memoryAddr(net.JoinHostPort("memory", strconv.Itoa(m.last)))
	m.mu.Unlock()
	if l == nil {
		return nil, fmt.Errorf("cellnet: dial %s: connection refused: nobody listens there", addr)
	}
	ours, theirs := net.Pipe()
	select {
	case l.conns <- memoryConn{theirs, l.addr, from}:
		return memoryConn{ours, from, l.addr}, nil
	case <-l.closed:
		return nil, fmt.Errorf("cellnet: dial %s: connection refused: listener closed", addr)
	case <-ctx.Done():
		return nil, fmt.Errorf("cellnet: dial %s: %w", addr, context.Cause(ctx))
	}
}

type memoryListener struct {
	network *MemoryNetwork
	addr    memoryAddr
	conns   chan net.Conn
	once    sync.Once
	closed  chan struct{}
}

func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memoryListener) Close() error {
	l.once.Do(func() {
		l.network.mu.Lock()
		delete(l.network.listeners, string(l.addr))
		l.network.mu.Unlock()
		close(l.closed)
	})
	return nil
}

func (l *memoryListener) Addr() net.Addr { return l.addr }

// memoryConn is an end of a pipe that knows its addresses.
type memoryConn struct {
	net.Conn
	local, remote memoryAddr
}

func (c memoryConn) LocalAddr() net.Addr  { return c.local }
func (c memoryConn) RemoteAddr() net.Addr { return c.remote }

type memoryAddr string

func (memoryAddr) Network() string  { return "memory" }
func (a memoryAddr) String() string { return string(a) }
