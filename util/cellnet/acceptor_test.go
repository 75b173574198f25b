package cellnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// echoes is an Acceptor whose sessions echo.
func echoes() *Acceptor {
	return &Acceptor{
		Config:    &Config{Counters: new(Counters), Linger: 100 * time.Millisecond},
		WebSocket: true,
		Open:      func(s *Session) (Handler, error) { return &echo{s: s}, nil },
	}
}

// rejections makes a collect what it rejects.
func rejections(a *Acceptor) <-chan error {
	c := make(chan error, 1000)
	a.Rejected = func(_ net.Addr, reason error) { c <- reason }
	return c
}

// ping sends a frame and waits for its echo. s must run with r.
func ping(t testing.TB, s *Session, r *recorder) {
	t.Helper()
	n := r.count()
	if err := s.SendMessage(16241, []byte("ping")); err != nil {
		t.Fatal(err)
	}
	within(t, "the echo", func() bool { return r.count() > n })
}

func TestTCPAndWebSocketOnOnePort(t *testing.T) {
	addr := serve(t, echoes())
	for _, url := range []string{"tcp://" + addr, "ws://" + addr + "/", "ws://" + addr} {
		t.Run(url[:3], func(t *testing.T) {
			s := dial(t, url, nil)
			r := newRecorder()
			run(t, s, r)
			for range 3 {
				ping(t, s, r)
			}
			if s.IsWebSocket() != strings.HasPrefix(url, "ws") {
				t.Error("IsWebSocket", s.IsWebSocket())
			}
			if r.got()[0] != "\x71\x3fping" {
				t.Errorf("%q", r.got()[0])
			}
		})
	}
}

// A client's first bytes may come one by one, and may look like something else
// for a while.
func TestFirstBytesOneByOne(t *testing.T) {
	addr := serve(t, echoes())
	hello := "\x16\x03\x01\x02\x00\x00" // six bytes of a ClientHello, but for the last
	for _, packet := range []string{
		"\x02\x00\x71\x3f",
		"G\x00" + strings.Repeat("G", 'G'),
		"GE" + strings.Repeat("x", 'G'|'E'<<8),
		hello + strings.Repeat("x", 792-len(hello)),
	} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		for b := range chunks([]byte(packet[:4]), 1) {
			c.Write(b)
			time.Sleep(time.Millisecond) // so that they travel alone, mostly
		}
		c.Write([]byte(packet[4:]))
		c.SetReadDeadline(time.Now().Add(soon))
		got := make([]byte, len(packet))
		if _, err := io.ReadFull(c, got); err != nil || string(got) != packet {
			t.Errorf("%.9q: %v", packet, err)
		}
		c.Close()
	}
}

func TestRejectedHandshakes(t *testing.T) {
	upgrade := "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	for _, c := range []struct {
		name, send, answer string
		want               error
	}{
		{"no upgrade", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n", ErrHandshake},
		{"another path", "GET /admin HTTP/1.1\r\nHost: x\r\n" + upgrade, "HTTP/1.1 404 Not Found\r\n", ErrHandshake},
		{"no key", "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n", ErrHandshake},
		{"not HTTP", "GET lost\r\n\r\n", "", ErrHandshake},
		{"large head", "GET / HTTP/1.1\r\nX: " + strings.Repeat("x", maxHTTPHead), "", ErrHandshake},
		{"many bytes without an end", "GET " + strings.Repeat("\r\n", maxHTTPHead), "", ErrHandshake},
		{"half a head", "GET / HTTP/1.1\r\nHost:", "", ErrHandshake},
		{"nothing", "", "", ErrHandshake},
		{"a byte", "G", "", ErrHandshake},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := echoes()
			reasons := rejections(a)
			addr := serve(t, a)
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			io.WriteString(conn, c.send)
			conn.(*net.TCPConn).CloseWrite()
			conn.SetReadDeadline(time.Now().Add(soon))
			answer, _ := io.ReadAll(conn)
			if !strings.HasPrefix(string(answer), c.answer) {
				t.Errorf("answer %q, want %q", answer, c.answer)
			}
			if err := wait(t, "rejection", reasons); !errors.Is(err, c.want) {
				t.Errorf("reason %v", err)
			}
			if n := a.Config.Counters.BadHandshake.Load(); n != 1 {
				t.Errorf("%d bad handshakes counted", n)
			}
		})
	}
}

func TestWebSocketOff(t *testing.T) {
	a := echoes()
	a.WebSocket = false
	reasons := rejections(a)
	addr := serve(t, a)
	if _, err := Dial(context.Background(), "ws://"+addr, nil); !errors.Is(err, ErrHandshake) {
		t.Errorf("Dial: %v", err)
	}
	if err := wait(t, "rejection", reasons); !errors.Is(err, ErrHandshake) {
		t.Errorf("reason %v", err)
	}
	a = &Acceptor{Config: link, WebSocket: true}
	l, _ := new(MemoryNetwork).Listen("")
	if err := a.Serve(context.Background(), l); err == nil {
		t.Error("Serve takes WebSocket with LinkFraming")
	}
}

// Silence, or an upgrade that never ends, costs a connection its place after
// HandshakeTimeout.
func TestHandshakeTimeout(t *testing.T) {
	for _, begin := range []string{"", "G", "GET / HTTP/1.1\r\n"} {
		synctest.Test(t, func(t *testing.T) {
			var network MemoryNetwork
			l, _ := network.Listen("")
			a := echoes()
			a.HandshakeTimeout = 7 * time.Second
			reasons := rejections(a)
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- a.Serve(ctx, l) }()
			c, err := network.Dial(ctx, "", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			io.WriteString(c, begin)
			if err := <-reasons; !errors.Is(err, ErrHandshake) || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("reason %v", err)
			}
			if d := time.Since(start); d != 7*time.Second {
				t.Errorf("after %v", d)
			}
			stop()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	a := echoes()
	a.Open = func(s *Session) (Handler, error) {
		s.SendMessage(1, []byte("full"))
		return nil, errors.New("server full")
	}
	addr := serve(t, a)
	for _, scheme := range []string{"tcp", "ws"} {
		s := dial(t, scheme+"://"+addr, nil)
		r := newRecorder()
		s.SendMessage(1, nil)
		run(t, s, r)
		if err := wait(t, "the end", r.ended); err != io.EOF {
			t.Errorf("%s: reason %v", scheme, err)
		}
		if got := r.got(); len(got) != 1 || got[0] != "\x01\x00full" {
			t.Errorf("%s: got %q", scheme, got)
		}
	}
	within(t, "count", func() bool { return a.Config.Counters.OpenRefused.Load() == 2 })
}

func TestLimits(t *testing.T) {
	a := echoes()
	a.MaxConns, a.MaxPerAddr = 3, 2
	reasons := rejections(a)
	addr := serve(t, a)
	from := func(ip string) *Config {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
		return &Config{DialContext: dialer.DialContext}
	}
	connect := func(ip string) (*Session, *recorder) {
		s, r := dial(t, "tcp://"+addr, from(ip)), newRecorder()
		run(t, s, r)
		s.SendMessage(1, nil)
		return s, r
	}
	refused := func(ip string, want error) {
		t.Helper()
		// The reset may come as soon as the connection is there.
		if s, err := Dial(context.Background(), "tcp://"+addr, from(ip)); err == nil {
			if err := s.Run(context.Background(), newRecorder()); ReasonLabel(err) != "reset" {
				t.Errorf("reason %v", err)
			}
		}
		if err := wait(t, "rejection", reasons); err != want {
			t.Errorf("rejected with %v, want %v", err, want)
		}
	}
	first, r1 := connect("127.0.0.1")
	_, r2 := connect("127.0.0.1")
	within(t, "two echoes", func() bool { return r1.count() == 1 && r2.count() == 1 })
	refused("127.0.0.1", ErrTooManyFromAddr)
	_, r3 := connect("127.0.0.2")
	within(t, "third echo", func() bool { return r3.count() == 1 })
	refused("127.0.0.3", ErrTooManyConns)

	first.Close(nil)
	wait(t, "the end", r1.ended)
	for { // the place is free a moment after the session has ended
		if s, err := Dial(context.Background(), "tcp://"+addr, from("127.0.0.1")); err == nil {
			r := newRecorder()
			run(t, s, r)
			s.SendMessage(1, nil)
			if within(t, "echo or end", func() bool { return r.count() == 1 || s.Reason() != nil }); r.count() == 1 {
				break
			}
		}
	}
	c := a.Config.Counters
	if c.OverLimit.Load() < 1 || c.OverAddrLimit.Load() != 1 {
		t.Errorf("counted %d over limit, %d over address limit", c.OverLimit.Load(), c.OverAddrLimit.Load())
	}
}

func TestHostOf(t *testing.T) {
	for _, c := range [][2]string{
		{"127.0.0.1", "127.0.0.1"},
		{"::ffff:127.0.0.1", "127.0.0.1"},
		{"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"},
		{"fe80::1", "fe80::"},
	} {
		if got := hostOf(&net.TCPAddr{IP: net.ParseIP(c[0]), Zone: ""}); got.String() != c[1] {
			t.Errorf("%s counts for %s, want %s", c[0], got, c[1])
		}
	}
}

// Serve's end closes everyone, says why, and flushes what was on its way.
func TestServeEnds(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cause := errors.New("drained")
	ctx, stop := context.WithCancelCause(context.Background())
	a := echoes()
	reasons := make(chan error, 100)
	var mu sync.Mutex
	var open []*Session
	a.Open = func(s *Session) (Handler, error) {
		mu.Lock()
		defer mu.Unlock()
		open = append(open, s)
		return &echo{s: s, ended: reasons}, nil
	}
	done := make(chan error)
	go func() { done <- a.Serve(ctx, l) }()
	const n = 20
	var clients []*recorder
	for i := range n {
		scheme := []string{"tcp", "ws"}[i%2]
		s, r := dial(t, scheme+"://"+l.Addr().String(), nil), newRecorder()
		run(t, s, r)
		ping(t, s, r)
		clients = append(clients, r)
	}
	silent, err := net.Dial("tcp", l.Addr().String()) // shaking hands still
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	within(t, "all accepted", func() bool { return a.Config.Counters.Accepted.Load() == n+1 })
	for _, s := range open {
		s.AppendMessage(1, []byte("the server goes down"))
	}
	stop(cause)
	if err := wait(t, "Serve", done); err != nil {
		t.Errorf("Serve: %v", err)
	}
	for range n {
		if err := wait(t, "reason", reasons); err != cause {
			t.Errorf("reason %v", err)
		}
	}
	for _, r := range clients {
		if err := wait(t, "client's end", r.ended); err != io.EOF {
			t.Errorf("client ended with %v", err)
		}
		if r.count() != 2 {
			t.Errorf("client got %q", r.got())
		}
	}
	if n := a.Config.Counters.Open.Load(); n != 0 {
		t.Errorf("%d sessions are open", n)
	}
}

func TestServeFailsWithListener(t *testing.T) {
	l, _ := new(MemoryNetwork).Listen("")
	l.Close()
	if err := echoes().Serve(context.Background(), l); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve: %v", err)
	}
}

// stumbling is a listener that fails now and then, as for want of descriptors.
type stumbling struct {
	net.Listener
	times int
}

func (l *stumbling) Accept() (net.Conn, error) {
	if l.times--; l.times >= 0 {
		return nil, errors.New("too many open files")
	}
	return l.Listener.Accept()
}

func TestAcceptGoesOnAfterErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network MemoryNetwork
		l, _ := network.Listen("game:0")
		a := echoes()
		reasons := rejections(a)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- a.Serve(ctx, &stumbling{l, 3}) }()
		s, err := Dial(ctx, "tcp://"+l.Addr().String(), &Config{DialContext: network.Dial})
		if err != nil {
			t.Fatal(err)
		}
		r := newRecorder()
		run(t, s, r)
		ping(t, s, r)
		if len(reasons) != 3 {
			t.Errorf("told of %d errors, want 3", len(reasons))
		}
		s.Abort(nil)
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestConnectAndClose(t *testing.T) {
	a := echoes()
	a.MaxPerAddr = 10_000
	addr := serve(t, a)
	const storm = 2000
	for i := range storm {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		switch i % 4 {
		case 1:
			c.Write([]byte{2, 0})
		case 2:
			c.Write([]byte{2, 0, 1, 0})
		case 3:
			reset(c)
		}
		c.Close()
	}
	s, r := dial(t, "tcp://"+addr, nil), newRecorder()
	run(t, s, r)
	ping(t, s, r)
	within(t, "all gone", func() bool {
		c := a.Config.Counters
		return c.Accepted.Load() == storm+1 && c.Open.Load() == 1
	})
}

func TestDialErrors(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	for _, c := range []struct {
		url string
		cfg *Config
	}{
		{"udp://127.0.0.1:1", nil},
		{"127.0.0.1:1", nil},
		{"tcp://127.0.0.1:1", nil},
		{"ws://127.0.0.1:1", link},
		{"ws://" + l.Addr().String(), nil},  // accepts, and says nothing
		{"tls://" + l.Addr().String(), nil}, // likewise
	} {
		s, err := Dial(ctx, c.url, c.cfg)
		if err == nil {
			s.Abort(nil)
			t.Errorf("%s: no error", c.url)
		} else if !strings.HasPrefix(err.Error(), "cellnet: dial") {
			t.Errorf("%s: %v", c.url, err)
		}
	}
	if _, err := Dial(ctx, "ws://"+l.Addr().String(), nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("after the deadline: %v", err)
	}
}

func TestMemoryNetwork(t *testing.T) {
	var network MemoryNetwork
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var addrs []string
	var all sync.WaitGroup
	for i := range 3 {
		l, err := network.Listen("game:0")
		if err != nil {
			t.Fatal(err)
		}
		addrs = append(addrs, l.Addr().String())
		a := echoes()
		if i == 2 {
			a.Config, a.WebSocket = link, false
		}
		all.Go(func() {
			if err := a.Serve(ctx, l); err != nil {
				t.Error(err)
			}
		})
	}
	if _, err := network.Listen(addrs[0]); err == nil {
		t.Error("listening twice at one address")
	}
	for i, addr := range addrs {
		cfg := &Config{DialContext: network.Dial}
		if i == 2 {
			cfg.Framing = LinkFraming
		}
		s := dial(t, []string{"tcp://", "ws://", "tcp://"}[i]+addr, cfg)
		r := newRecorder()
		run(t, s, r)
		ping(t, s, r)
		if s.RemoteAddr().String() != addr {
			t.Errorf("remote address %s, want %s", s.RemoteAddr(), addr)
		}
	}
	stop()
	all.Wait()
	if _, err := network.Dial(context.Background(), "", addrs[0]); err == nil {
		t.Error("dialled a closed listener")
	}
	if fmt.Sprint(network.listeners) != "map[]" {
		t.Errorf("listeners left: %v", network.listeners)
	}
}
