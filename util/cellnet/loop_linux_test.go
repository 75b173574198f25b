package cellnet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// inlinePair is a client and its server's end, which a loop reads.
func inlinePair(t *testing.T, scheme string) (client *Session, r *recorder, server *Session, ended chan error) {
	t.Helper()
	a := echoes()
	a.Inline, a.loopFrom = true, 1
	return quietPair(t, a, scheme)
}

// A session of a handler that never blocks needs no goroutine from its first
// message on, and hears everything: much at once, and the end right behind it.
func TestLoop(t *testing.T) {
	for _, scheme := range []string{"tcp", "ws"} {
		t.Run(scheme, func(t *testing.T) {
			client, r, server, ended := inlinePair(t, scheme)
			dozes := func() {
				t.Helper()
				within(t, "sleep", func() bool { return asleep(server) })
			}
			for range 5 {
				ping(t, client, r)
				dozes()
			}
			large := bytes.Repeat([]byte("x"), 60_000)
			n := r.count()
			for range 20 {
				if err := client.SendMessage(7, large); err != nil {
					t.Fatal(err)
				}
			}
			within(t, "large frames", func() bool { return r.count() == n+20 })
			for _, frame := range r.got()[n:] {
				if len(frame) != 2+len(large) || frame[2:] != string(large) {
					t.Fatalf("a frame of %d bytes", len(frame))
				}
			}
			dozes()
			server.SetReadDeadline(time.Now().Add(time.Hour)) // a goroutine waits
			ping(t, client, r)
			if asleep(server) {
				t.Error("dozes although it has a deadline")
			}
			server.SetReadDeadline(time.Time{})
			ping(t, client, r) // and goes
			dozes()
			n = r.count()
			client.SendMessage(9, []byte("last words"))
			client.Close(nil)
			if err := wait(t, "the server's end", ended); err != io.EOF {
				t.Errorf("reason %v", err)
			}
			if got := r.got(); len(got) < n {
				t.Errorf("%d frames after %d", len(got), n)
			}
		})
	}
}

// Bytes may come one by one.
func TestLoopInPieces(t *testing.T) {
	a := echoes()
	a.Inline, a.loopFrom = true, 1
	conn, err := net.Dial("tcp", serve(t, a))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(soon))
	packet, got := []byte("\x05\x00hello"), make([]byte, 7)
	for range 3 {
		for i := range packet {
			conn.Write(packet[i : i+1])
		}
		if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, packet) {
			t.Fatalf("got %q, %v", got, err)
		}
	}
}

// A session ends with the reason it was given, whoever gives it and whatever the
// loop does meanwhile.
func TestLoopEnds(t *testing.T) {
	mine := errors.New("mine")
	for name, do := range map[string]func(*Session){
		"close":    func(s *Session) { s.Close(mine) },
		"abort":    func(s *Session) { s.Abort(mine) },
		"deadline": func(s *Session) { s.SetReadDeadline(time.Now().Add(-time.Second)) },
	} {
		t.Run(name, func(t *testing.T) {
			want := mine
			if name == "deadline" {
				want = ErrReadTimeout
			}
			for range 20 {
				client, r, server, ended := inlinePair(t, "tcp")
				var sender sync.WaitGroup
				sender.Go(func() {
					for client.SendMessage(1, []byte("on and on")) == nil {
					}
				})
				do(server)
				if err := wait(t, "the server's end", ended); err != want {
					t.Errorf("reason %v, want %v", err, want)
				}
				wait(t, "the client's end", r.ended)
				client.Abort(nil)
				sender.Wait()
			}
		})
	}
}

// quitter echoes and aborts its own session at a certain frame.
type quitter struct {
	echo
	left int
}

func (q *quitter) Frame(b []byte) error {
	if q.left--; q.left == 0 {
		q.s.Abort(nil)
		return nil
	}
	return q.echo.Frame(b)
}

// Descriptors are used again as soon as they are closed. Nobody gets what is
// another's, though sessions are aborted while they are read and written to, by
// their handlers and from outside.
func TestLoopDescriptors(t *testing.T) {
	opened := make(chan *Session, 10_000)
	a := echoes()
	a.Inline, a.loopFrom = true, 1
	n := 0
	var mu sync.Mutex
	a.Open = func(s *Session) (Handler, error) {
		mu.Lock()
		defer mu.Unlock()
		n++
		opened <- s
		return &quitter{echo{s: s}, n % 7}, nil
	}
	addr := serve(t, a)
	var aborting, clients sync.WaitGroup
	aborting.Go(func() {
		i := 0
		for s := range opened {
			if i++; i%3 == 0 {
				s.Abort(nil)
			}
		}
	})
	for i := range 16 {
		clients.Go(func() {
			for round := range 50 {
				mine := fmt.Sprintf("client %d, round %d", i, round)
				if err := onlyMine(addr, mine); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	clients.Wait()
	within(t, "the end of all", func() bool { return a.Config.Counters.Open.Load() == 0 })
	close(opened)
	aborting.Wait()
}

// onlyMine sends frames that say whose they are until the connection ends, or
// ten have come back, and complains of others.
func onlyMine(addr, mine string) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(soon))
	packet := append(binary.LittleEndian.AppendUint16(nil, uint16(len(mine))), mine...)
	got := make([]byte, len(packet))
	for range 10 {
		if _, err := conn.Write(packet); err != nil {
			return nil
		}
		switch _, err := io.ReadFull(conn, got); {
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil:
			return nil
		case !bytes.Equal(got, packet):
			return fmt.Errorf("%s got %q", mine, got)
		}
	}
	return nil
}

// A loop hands over what several sessions have to say before it ends the batch
// of each; each batch ends.
func TestLoopBatches(t *testing.T) {
	a := echoes()
	a.Inline, a.loopFrom = true, 1
	addr := serve(t, a)
	var sessions []*Session
	var recorders []*recorder
	for range 300 { // more than events are taken at a time
		s, r := dial(t, "tcp://"+addr, nil), newRecorder()
		run(t, s, r)
		sessions, recorders = append(sessions, s), append(recorders, r)
	}
	for round := range 10 {
		for _, s := range sessions {
			if err := s.SendMessage(1, nil); err != nil {
				t.Fatal(err)
			}
		}
		for _, r := range recorders {
			within(t, "echo", func() bool { return r.count() == round+1 })
		}
	}
}

func TestInlineIsNotBrief(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := &Acceptor{Config: &Config{Brief: true}, Inline: true}
	if err := a.Serve(t.Context(), l); err == nil {
		t.Error("served")
	}
}

// A few sessions have a goroutine each; as soon as there are many, loops read all
// that have something to say.
func TestLoopsAreForMany(t *testing.T) {
	opened := make(chan *Session, loopFrom)
	a := echoes()
	a.Inline = true
	a.Open = func(s *Session) (Handler, error) { opened <- s; return &echo{s: s}, nil }
	addr := serve(t, a)
	var sessions, servers []*Session
	var recorders []*recorder
	enter := func() {
		s, r := dial(t, "tcp://"+addr, nil), newRecorder()
		run(t, s, r)
		ping(t, s, r)
		sessions, recorders, servers = append(sessions, s), append(recorders, r), append(servers, wait(t, "open", opened))
	}
	for range loopFrom - 1 {
		enter()
	}
	for range 3 {
		for i, s := range sessions {
			ping(t, s, recorders[i])
			if asleep(servers[i]) {
				t.Fatalf("session %d of %d has no goroutine", i+1, len(servers))
			}
		}
	}
	enter()
	for i, s := range sessions {
		ping(t, s, recorders[i])
		within(t, "a loop reads it", func() bool { return asleep(servers[i]) })
	}
}

// waiting echoes; a frame "wait" first waits for the gate, where it may.
type waiting struct {
	echo
	gate chan struct{}
}

func (w *waiting) Frame(b []byte) error {
	if string(b[2:]) == "wait" {
		if !w.s.MayBlock() {
			return ErrBlocks
		}
		<-w.gate
	}
	return w.echo.Frame(b)
}

// A handler that must wait holds up its own session only: what is behind the
// frame comes after it, other sessions go on, and then a loop reads on.
func TestLoopWaits(t *testing.T) {
	for _, scheme := range []string{"tcp", "ws"} {
		t.Run(scheme, func(t *testing.T) {
			a := echoes()
			a.Inline, a.loopFrom = true, 1
			gate, opened := make(chan struct{}), make(chan *Session, 2)
			a.Open = func(s *Session) (Handler, error) {
				opened <- s
				return &waiting{echo{s: s}, gate}, nil
			}
			addr := serve(t, a)
			var sessions, servers []*Session
			var recorders []*recorder
			for range 2 {
				s, r := dial(t, scheme+"://"+addr, nil), newRecorder()
				run(t, s, r)
				ping(t, s, r)
				sessions, recorders, servers = append(sessions, s), append(recorders, r), append(servers, wait(t, "open", opened))
			}
			for round := range 3 {
				for _, s := range servers {
					within(t, "sleep", func() bool { return asleep(s) })
				}
				n := recorders[0].count()
				for _, text := range []string{"before", "wait", "behind", "wait", "last"} { // one write, most likely
					if _, err := sessions[0].Append([]byte("\x07\x00"), []byte(text)); err != nil {
						t.Fatal(err)
					}
				}
				sessions[0].Flush()
				within(t, "what is before", func() bool { return recorders[0].count() == n+1 })
				ping(t, sessions[1], recorders[1])
				sessions[0].SendMessage(7, []byte("later"))
				ping(t, sessions[1], recorders[1])
				if got := recorders[0].count(); got != n+1 {
					t.Fatalf("round %d: %d frames did not wait", round, got-n-1)
				}
				gate <- struct{}{}
				gate <- struct{}{}
				within(t, "the rest", func() bool { return recorders[0].count() == n+6 })
				if got := recorders[0].got()[n:]; fmt.Sprintf("%q", got) != `["\a\x00before" "\a\x00wait" "\a\x00behind" "\a\x00wait" "\a\x00last" "\a\x00later"]` {
					t.Fatalf("round %d: %q", round, got)
				}
			}
			if got := a.Config.Counters.FramesIn.Load(); got != int64(recorders[0].count()+recorders[1].count()) {
				t.Errorf("%d frames counted", got)
			}
			sessions[0].SendMessage(7, []byte("wait"))
			ping(t, sessions[1], recorders[1])
			servers[0].Close(io.ErrNoProgress) // while it waits, or is about to
			close(gate)
			wait(t, "the end", recorders[0].ended)
		})
	}
}
