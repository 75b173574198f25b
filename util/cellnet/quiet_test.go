package cellnet

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
)

// sweepOnce looks at every session.
func (v *server) sweepOnce() {
	for part := range sweepParts {
		v.sweepPart(part)
	}
}

// quieten makes a server's sessions quiet without waiting for it.
func quieten(v *server) {
	for range quietSweeps + 1 {
		v.sweepOnce()
	}
}

// asleep reports whether a session dozes.
func asleep(s *Session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dozing
}

// quietPair is a client and its server's end, which is quiet.
func quietPair(t *testing.T, a *Acceptor, scheme string) (client *Session, r *recorder, server *Session, ended chan error) {
	t.Helper()
	opened, ended := make(chan *Session, 1), make(chan error, 1)
	if a.minDoze == 0 {
		a.minDoze = time.Hour // no session will have dozed for so long
	}
	a.Open = func(s *Session) (Handler, error) {
		opened <- s
		return &echo{s: s, ended: ended}, nil
	}
	client, r = dial(t, scheme+"://"+serve(t, a), nil), newRecorder()
	run(t, client, r)
	ping(t, client, r)
	server = wait(t, "open", opened)
	quieten(server.server)
	settled := server.sock.usable() && runtime.GOOS == "linux"
	within(t, "sleep", func() bool { return asleep(server) == settled })
	return client, r, server, ended
}

func TestQuietSessionWakes(t *testing.T) {
	for _, scheme := range []string{"tcp", "ws"} {
		t.Run(scheme, func(t *testing.T) {
			client, r, server, ended := quietPair(t, echoes(), scheme)
			for range 3 {
				ping(t, client, r)
				if asleep(server) {
					t.Error("dozes after a frame")
				}
				ping(t, client, r)
				quieten(server.server)
				within(t, "sleep", func() bool { return asleep(server) || runtime.GOOS != "linux" })
			}
			if err := server.Send([]byte("push to a quiet one"), nil); err != nil {
				t.Error(err)
			}
			within(t, "the push", func() bool { return r.got()[r.count()-1] == "push to a quiet one" })
			client.Close(nil)
			if err := wait(t, "the server's end", ended); err != io.EOF {
				t.Errorf("reason %v", err)
			}
		})
	}
}

func TestQuietSessionEnds(t *testing.T) {
	mine := errors.New("mine")
	for name, c := range map[string]struct {
		do   func(client, server *Session)
		want error
	}{
		"close":    {func(_, s *Session) { s.Send([]byte("bye"), nil); s.Close(mine) }, mine},
		"abort":    {func(_, s *Session) { s.Abort(mine) }, mine},
		"deadline": {func(_, s *Session) { s.SetReadDeadline(time.Now().Add(time.Millisecond)) }, ErrReadTimeout},
		"peer":     {func(c, _ *Session) { c.Close(nil) }, io.EOF},
	} {
		t.Run(name, func(t *testing.T) {
			client, r, server, ended := quietPair(t, echoes(), "tcp")
			c.do(client, server)
			if err := wait(t, "the server's end", ended); err != c.want {
				t.Errorf("reason %v, want %v", err, c.want)
			}
			wait(t, "the client's end", r.ended)
			if name == "close" && r.got()[r.count()-1] != "bye" {
				t.Errorf("the client got %q", r.got())
			}
		})
	}
}

// A quiet session with half a frame keeps the half.
func TestQuietInHalfFrame(t *testing.T) {
	opened := make(chan *Session, 1)
	a := echoes()
	a.Open = func(s *Session) (Handler, error) { opened <- s; return &echo{s: s}, nil }
	conn, err := net.Dial("tcp", serve(t, a))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.Write([]byte("\x05\x00he"))
	s := wait(t, "open", opened)
	within(t, "sleep", func() bool {
		quieten(s.server)
		return asleep(s) || runtime.GOOS != "linux"
	})
	conn.Write([]byte("llo"))
	got := make([]byte, 7)
	conn.SetReadDeadline(time.Now().Add(soon))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "\x05\x00hello" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestIdle(t *testing.T) {
	const limit = 100 // sweeps; the server makes one a second by itself
	a := echoes()
	a.Idle = func() time.Duration { return limit * sweepEvery }
	_, r, server, ended := quietPair(t, a, "tcp")
	for range limit / 2 {
		server.server.sweepOnce()
	}
	if server.Reason() != nil {
		t.Fatal("closed before its time")
	}
	for range limit/2 + 1 {
		server.server.sweepOnce()
	}
	if err := wait(t, "the server's end", ended); err != ErrIdle {
		t.Errorf("reason %v", err)
	}
	wait(t, "the client's end", r.ended)
}

// Sessions fall asleep and are woken by everything at once.
func TestQuietStress(t *testing.T) {
	t.Run("readers stay", func(t *testing.T) { quietStress(t, time.Hour, false) })
	t.Run("readers read once", func(t *testing.T) { quietStress(t, 1, false) })
	t.Run("loops read", func(t *testing.T) { quietStress(t, 1, true) })
}

func quietStress(t *testing.T, minDoze time.Duration, inline bool) {
	const clients, rounds = 20, 30
	opened := make(chan *Session, clients)
	a := echoes()
	a.minDoze, a.Inline, a.loopFrom = minDoze, inline, 1
	a.Open = func(s *Session) (Handler, error) { opened <- s; return &echo{s: s}, nil }
	addr := serve(t, a)
	var sessions []*Session
	var recorders []*recorder
	for range clients {
		s, r := dial(t, "tcp://"+addr, nil), newRecorder()
		run(t, s, r)
		ping(t, s, r)
		sessions, recorders = append(sessions, s), append(recorders, r)
	}
	v := (<-opened).server
	stop := make(chan struct{})
	sweeping := make(chan struct{})
	go func() {
		defer close(sweeping)
		for {
			select {
			case <-stop:
				return
			default:
				v.sweepOnce()
				time.Sleep(100 * time.Microsecond)
			}
		}
	}()
	for round := range rounds {
		for i, s := range sessions {
			if err := s.SendMessage(uint16(i), nil); err != nil {
				t.Fatal(err)
			}
		}
		for _, r := range recorders {
			within(t, "echo", func() bool { return r.count() == round+2 })
		}
	}
	for _, s := range sessions[:clients/2] {
		s.Abort(nil)
	}
	for _, s := range sessions[clients/2:] {
		s.Close(nil)
	}
	within(t, "the end of all", func() bool { return a.Config.Counters.Open.Load() == 0 })
	close(stop)
	<-sweeping
}

// A quiet session that says a little now and then dozes on by itself; what it
// says in parts, much at once or last is heard all the same.
func TestReadOnce(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("sessions doze on Linux only")
	}
	a := echoes()
	a.minDoze = 1
	client, r, server, ended := quietPair(t, a, "tcp")
	dozes := func() {
		t.Helper()
		within(t, "sleep", func() bool { return asleep(server) })
	}
	for range 5 {
		ping(t, client, r)
		dozes()
	}
	large := make([]byte, 60_000)
	n := r.count()
	for range 20 {
		if err := client.SendMessage(7, large); err != nil {
			t.Fatal(err)
		}
	}
	within(t, "large frames", func() bool { return r.count() == n+20 })
	dozes()
	if err := server.Send([]byte("push"), nil); err != nil {
		t.Fatal(err)
	}
	within(t, "push", func() bool { return r.count() == n+21 })
	server.SetReadDeadline(time.Now().Add(time.Hour))
	ping(t, client, r)
	if asleep(server) {
		t.Error("dozes although it has a deadline")
	}
	server.SetReadDeadline(time.Time{})
	quieten(server.server)
	dozes()
	client.Close(nil)
	if err := wait(t, "the server's end", ended); err != io.EOF {
		t.Errorf("reason %v", err)
	}
}

// Close ends a session whose reader reads once, and a reader that finds the
// peer gone ends it too.
func TestReadOnceCloses(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("sessions doze on Linux only")
	}
	for range 20 {
		a := echoes()
		a.minDoze = 1
		client, r, server, ended := quietPair(t, a, "tcp")
		if err := client.SendMessage(1, nil); err != nil {
			t.Fatal(err)
		}
		why := errors.New("why")
		server.Close(why)
		if err := wait(t, "the server's end", ended); err != why {
			t.Errorf("reason %v", err)
		}
		wait(t, "the client's end", r.ended)
	}
}

func TestQuietSessionHoldsNothing(t *testing.T) {
	for _, scheme := range []string{"tcp", "ws"} {
		_, _, server, _ := quietPair(t, echoes(), scheme)
		server.mu.Lock()
		if asleep := server.dozing; asleep && (server.in != nil || server.out != nil || server.flight != nil) {
			t.Errorf("%s: a quiet session holds buffers of %d, %d and %d bytes", scheme, cap(server.in), cap(server.out), cap(server.flight))
		}
		server.mu.Unlock()
	}
}

// Serve ends while sessions fall asleep, wake and echo.
func TestServeEndsWhileQuiet(t *testing.T) {
	for range 10 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		opened := make(chan *Session, 100)
		a := echoes()
		a.Open = func(s *Session) (Handler, error) { opened <- s; return &echo{s: s}, nil }
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- a.Serve(ctx, l) }()
		var clients sync.WaitGroup
		for range 10 {
			s := dial(t, "tcp://"+l.Addr().String(), nil)
			r := newRecorder()
			run(t, s, r)
			ping(t, s, r)
			clients.Go(func() {
				for s.SendMessage(1, nil) == nil {
					time.Sleep(time.Millisecond)
				}
			})
		}
		v := (<-opened).server
		clients.Go(func() {
			for ctx.Err() == nil {
				v.sweepOnce()
			}
		})
		within(t, "somebody asleep", func() bool {
			for _, s := range v.snapshot() {
				if asleep(s) {
					return true
				}
			}
			return runtime.GOOS != "linux"
		})
		stop()
		if err := wait(t, "Serve", done); err != nil {
			t.Error(err)
		}
		clients.Wait()
	}
}

// snapshot is the sessions of a server at one moment.
func (v *server) snapshot() []*Session {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.sessions)
}
