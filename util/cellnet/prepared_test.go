package cellnet

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
)

// listener is a session with what its peer hears.
type listener struct {
	s     *Session
	heard *recorder
}

// listeners are some of each kind.
func listeners(t *testing.T) (all []listener) {
	opened := make(chan listener, 1)
	addr := serve(t, &Acceptor{WebSocket: true, Open: func(s *Session) (Handler, error) {
		r := newRecorder()
		opened <- listener{s, r}
		return r, nil
	}})
	meet := func(scheme string) (ours, theirs listener) {
		s := dial(t, scheme+"://"+addr+"/", nil)
		r := newRecorder()
		run(t, s, r)
		s.SendMessage(1, nil) // who has said something has been accepted
		theirs = wait(t, "session", opened)
		within(t, "word", func() bool { return theirs.heard.count() == 1 })
		theirs.heard.mu.Lock()
		theirs.heard.frames = nil
		theirs.heard.mu.Unlock()
		return listener{s, r}, theirs
	}
	for range fetchAtOnce/2 + 1 {
		for _, scheme := range []string{"tcp", "ws"} {
			peer, s := meet(scheme)
			all = append(all, listener{s.s, peer.heard})
		}
	}
	masking, peer := meet("ws")
	all = append(all, listener{masking.s, peer.heard})
	cfg := &Config{Framing: LinkFraming}
	links := func() (*Session, *Session) { return pair(t, cfg, cfg) }
	pipes := func() (*Session, *Session) { return Pipe(nil, nil) }
	for _, make := range []func() (*Session, *Session){links, pipes} {
		a, b := make()
		r := newRecorder()
		run(t, a, newRecorder())
		run(t, b, r)
		all = append(all, listener{a, r})
	}
	return all
}

func sessionsOf(all []listener) (sessions []*Session) {
	for _, l := range all {
		sessions = append(sessions, l.s)
	}
	return sessions
}

// A message for many gets to each, whatever it travels on, in order with what else
// is sent there.
func TestPrepared(t *testing.T) {
	all := listeners(t)
	sessions := sessionsOf(all)
	var want []string
	say := func(id uint16, body []byte, send func(s *Session)) {
		want = append(want, string(AppendMessageHead(nil, id))+string(body))
		for _, s := range sessions {
			send(s)
		}
	}
	var p Prepared
	for round := range 100 {
		body := bytes.Repeat([]byte{byte(round)}, round*round)
		if round%3 == 0 {
			say(7, nil, func(s *Session) { s.AppendMessage(7, nil) })
		}
		p.Set(uint16(round), body)
		say(uint16(round), body, func(*Session) {})
		if err := p.Send(sessions); err != nil {
			t.Fatal(err)
		}
		for _, s := range sessions {
			s.Flush() // of what was appended before
		}
		if round%2 == 0 {
			say(8, body, func(s *Session) { s.SendMessage(8, body) })
		}
	}
	for i, l := range all {
		within(t, fmt.Sprint("all that was sent to ", i), func() bool { return l.heard.count() >= len(want) })
		if got := l.heard.got(); !slices.Equal(got, want) {
			t.Errorf("session %d heard %d frames, not those that were sent", i, len(got))
		}
	}
	p.Set(1, make([]byte, maxClientFrame))
	if err := p.Send(sessions); err != ErrFrameTooLarge {
		t.Errorf("too large a message: %v", err)
	}
}

// Who does not read what is for many hears all of it later, as long as it may wait,
// and then is cut; others do not notice.
func TestPreparedToSlow(t *testing.T) {
	cfg := &Config{MaxPending: 256 << 10, Counters: new(Counters)}
	ours, slow := tcpPair(t)
	cutOurs, _ := tcpPair(t)
	s, cut := NewSession(ours, cfg), NewSession(cutOurs, cfg)
	w, peer := pair(t, nil, nil)
	witness := newRecorder()
	run(t, s, newRecorder())
	run(t, w, newRecorder())
	run(t, peer, witness)
	ended := newRecorder()
	run(t, cut, ended)

	var p Prepared
	var want bytes.Buffer
	sent := 0
	for cfg.Counters.Blocked.Load() < 2 { // both
		sent++
		p.Set(uint16(sent), bytes.Repeat([]byte{byte(sent)}, 10_000))
		want.Write(p.plain)
		p.Send([]*Session{s, w, cut})
		within(t, "witness", func() bool { return witness.count() == sent })
	}
	s.Close(nil)
	got := make(chan []byte)
	go func() {
		b, _ := io.ReadAll(slow)
		got <- b
	}()
	if b := wait(t, "what the slow one has heard", got); !bytes.Equal(b, want.Bytes()) {
		t.Errorf("it heard %d bytes, other than the %d that were sent", len(b), want.Len())
	}
	for range cfg.MaxPending/10_000 + 1 {
		sent++
		p.Send([]*Session{w, cut})
		within(t, "witness", func() bool { return witness.count() == sent })
	}
	if err := wait(t, "the cut", ended.ended); err != ErrSlowConsumer {
		t.Errorf("it ended with %v", err)
	}
}

// A session that ends, is flushed and written to by others at the same time hands
// its peer whole messages, in order, up to its end.
func TestPreparedAtTheEnd(t *testing.T) {
	for round := range 50 {
		s, peer := pair(t, &Config{MaxPending: 1 << 30}, nil) // its end is for others to bring about
		heard := newRecorder()
		run(t, s, newRecorder())
		run(t, peer, heard)
		var others sync.WaitGroup
		others.Go(func() {
			for s.SendMessage(0, make([]byte, 100)) == nil {
			}
		})
		others.Go(func() {
			within(t, "talk", func() bool { return heard.count() > 20 })
			if round%2 == 0 {
				s.Close(nil)
			} else {
				s.Abort(nil)
			}
		})
		var p Prepared
		for n := uint16(1); s.Reason() == nil; n++ {
			p.Set(n, make([]byte, 200))
			p.Send([]*Session{s})
		}
		others.Wait()
		wait(t, "the peer's end", heard.ended)
		last := uint16(0)
		for _, f := range heard.got() {
			switch id := MessageID([]byte(f)); {
			case id == 0 && len(f) == 102:
			case id == last+1 && len(f) == 202:
				last++
			default:
				t.Fatalf("after %d came %d, %d bytes", last, id, len(f))
			}
		}
	}
}

// BenchmarkToMany is a message of 64 bytes to 1000 connections, with the same
// sent to each by itself to compare with.
func BenchmarkToMany(b *testing.B) {
	const n = 1000
	body, in := make([]byte, 64), make([]byte, 1<<10)
	for _, c := range []struct {
		name string
		send func([]*Session, *Prepared)
	}{
		{"prepared", func(all []*Session, p *Prepared) { p.Set(1, body); p.Send(all) }},
		{"each", func(all []*Session, _ *Prepared) {
			for _, s := range all {
				s.SendMessage(1, body)
			}
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			var all []*Session
			var peers []net.Conn
			cfg := new(Config)
			for range n {
				ours, peer := tcpPair(b)
				all, peers = append(all, NewSession(ours, cfg)), append(peers, peer)
			}
			b.ReportAllocs()
			var p Prepared
			for b.Loop() {
				c.send(all, &p)
				b.StopTimer()
				for _, c := range peers {
					c.Read(in)
				}
				b.StartTimer()
			}
		})
	}
}
