package link

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/util/discovery"
	"github.com/davyxu/cellmesh_demo/util/peerauth"
)

// Without the same secret there is no link; both sides say so, once, however
// often it is tried, and what to do.
func TestSecret(t *testing.T) {
	cases := []struct{ agent, game, words string }{
		{"", "", ""},
		{"s3cret", "s3cret", ""},
		{"s3cret", "other", "different cluster secrets: start both with the same -secret"},
		{"s3cret", "", "agent#0@dev has a cluster secret, game#0@dev has none: start both with the same -secret"},
		{"", "s3cret", "game#0@dev has a cluster secret, agent#0@dev has none: start both with the same -secret"},
	}
	for _, c := range cases {
		t.Run(c.agent+" and "+c.game, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				g := w.start("game", setup{secret: c.game})
				a := w.start("agent", setup{secret: c.agent, dials: []string{"game"}})
				time.Sleep(5 * time.Minute)
				if c.words == "" {
					linked(t, a, g)
					return
				}
				notLinked(t, a, g)
				for _, n := range []*node{a, g} {
					if lines := n.log.lines("level=WARN"); len(lines) != 1 || !strings.Contains(lines[0], c.words) {
						t.Errorf("%s warned %q", n.id(), lines)
					}
					if lines := n.log.lines("level=INFO"); len(lines) != 0 || len(n.ups) != 0 {
						t.Errorf("%s thought it was linked: %q", n.id(), lines)
					}
				}
				if trouble := a.Trouble("game"); !strings.Contains(trouble, c.words) || !strings.Contains(trouble, "game#0@dev at memory:") {
					t.Errorf("the trouble with game is %q", trouble)
				}
			})
		})
	}
}

// Trouble is over when the link stands, and told again when it comes back.
func TestTroubleEnds(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.start("agent", setup{secret: "s3cret", dials: []string{"game"}})
		for range 3 {
			wrong := w.start("game", setup{secret: "other", addr: "memory:77"})
			time.Sleep(time.Minute)
			if a.Trouble("game") == "" {
				t.Error("no trouble")
			}
			wrong.stop()
			right := w.start("game", setup{secret: "s3cret", addr: "memory:77"})
			time.Sleep(time.Minute)
			linked(t, a, right)
			if trouble := a.Trouble("game"); trouble != "" {
				t.Errorf("linked, and yet %q", trouble)
			}
			right.stop()
		}
		if n := len(a.log.lines("level=WARN")); n != 3 {
			t.Errorf("%d warnings, want 3:\n%s", n, a.log.String())
		}
	})
}

// Nobody gets in by hand: what is out of order, too large, of another version,
// for somebody else or unproved is refused with a reason.
func TestStrangers(t *testing.T) {
	hello := func() *pb.LinkHelloREQ {
		return &pb.LinkHelloREQ{Svcid: "agent#9@dev", Epoch: 1, Version: protocolVersion, Nonce: peerauth.NewNonce(), Expect: "game#0@dev"}
	}
	refusedWith := func(s *stranger, words string) {
		s.t.Helper()
		var ack pb.LinkHelloACK
		s.receive(&ack)
		if ack.Code == pb.ResultCode_NoError || !strings.Contains(ack.Reason, words) {
			s.t.Errorf("answered %v, want a refusal with %q", &ack, words)
		}
	}
	cases := map[string]func(s *stranger){
		"silence": func(s *stranger) {
			began := time.Now()
			s.over()
			if took := time.Since(began); took < handshakeTimeout || took > handshakeTimeout+3*time.Second {
				s.t.Errorf("closed after %v", took)
			}
		},
		"silence after hello": func(s *stranger) { s.send(hello()); s.over() },
		"garbage":             func(s *stranger) { s.session.Send([]byte("GET / HTTP/1.1"), nil) },
		"an empty frame":      func(s *stranger) { s.session.Send(nil, nil) },
		"a large hello":       func(s *stranger) { h := hello(); h.Nonce = make([]byte, maxHandshake); s.send(h) },
		"a relayed message":   func(s *stranger) { s.session.Send([]byte{byte(ToAll), 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0}, nil) },
		"confirm first":       func(s *stranger) { s.send(&pb.LinkConfirm{}) },
		"an answer first":     func(s *stranger) { s.send(&pb.LinkHelloACK{Svcid: "agent#9@dev"}) },
		"a body that does not parse": func(s *stranger) {
			s.session.Send([]byte{0, 0, byte(pb.LinkHelloREQID & 0xff), byte(pb.LinkHelloREQID >> 8), 0, 0, 0, 0, 0, 0, 0, 0, 0xff}, nil)
		},
		"hello twice":         func(s *stranger) { s.send(hello()); s.send(hello()) },
		"a name that is none": func(s *stranger) { h := hello(); h.Svcid = "agent"; s.send(h) },
		"a short nonce":       func(s *stranger) { h := hello(); h.Nonce = []byte("short"); s.send(h) },
		"another version": func(s *stranger) {
			h := hello()
			h.Version = 99
			s.send(h)
			refusedWith(s, "build both from one version")
		},
		"dialed somebody else": func(s *stranger) {
			h := hello()
			h.Expect = "game#1@dev"
			s.send(h)
			refusedWith(s, "game#1@dev was dialed, but this is game#0@dev")
		},
		"no proof": func(s *stranger) {
			s.send(hello())
			s.receive(&pb.LinkHelloACK{})
			s.send(&pb.LinkConfirm{})
			refusedWith(s, "agent#9@dev has none")
		},
		"our own proof sent back": func(s *stranger) {
			h, ack := hello(), pb.LinkHelloACK{}
			s.send(h)
			s.receive(&ack)
			s.send(&pb.LinkConfirm{Proof: ack.Proof})
			refusedWith(s, "different cluster secrets")
		},
		"a proof for another name": func(s *stranger) {
			h, ack := hello(), pb.LinkHelloACK{}
			s.send(h)
			s.receive(&ack)
			s.send(&pb.LinkConfirm{Proof: peerauth.Proof("s3cret", "link dial", h.Nonce, ack.Nonce, []byte("agent#8@dev"), []byte("game#0@dev"))})
			refusedWith(s, "different cluster secrets")
		},
	}
	for name, f := range cases {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				g := w.start("game", setup{secret: "s3cret"})
				s := w.meet(g.lease.Service().Addr)
				f(s)
				s.over()
				synctest.Wait()
				if len(g.All()) != 0 || len(g.ups) != 0 {
					t.Error("linked")
				}
				if len(g.log.lines("remote=")) != 1 {
					t.Errorf("not one line about it in the log:\n%s", g.log.String())
				}
			})
		})
	}
}

// Names made up by strangers fill neither the log nor memory.
func TestManyStrangers(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		g := w.start("game", setup{secret: "s3cret"})
		for i := range 2 * maxSaid {
			s := w.meet(g.lease.Service().Addr)
			s.send(&pb.LinkHelloREQ{Svcid: discovery.FormatID("x", i, "dev"), Version: 99, Expect: "game#0@dev"})
			s.over()
		}
		if n := len(g.log.lines("level=WARN")); n != maxSaid {
			t.Errorf("%d warnings", n)
		}
	})
}

// establish makes a link by hand. A nil answer means that it was refused.
func (w *world) establish(to *node, svcid string, epoch uint64) (*stranger, error) {
	w.t.Helper()
	s := w.meet(to.lease.Service().Addr)
	s.send(&pb.LinkHelloREQ{Svcid: svcid, Epoch: epoch, Version: protocolVersion, Nonce: peerauth.NewNonce(), Expect: to.id()})
	var ack pb.LinkHelloACK
	s.receive(&ack)
	if ack.Code != pb.ResultCode_NoError {
		s.over()
		return nil, errors.New(ack.Reason)
	}
	s.send(&pb.LinkConfirm{})
	s.receive(&pb.LinkConfirm{})
	return s, nil
}

// The newer registration wins wherever it comes from; the older is refused, by
// what the links say as well as by what discovery says; and the end of the
// older link leaves the newer one where it is.
func TestEpochs(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		hub := w.start("hub", setup{})
		old, err := w.establish(hub, "game#5@dev", 7)
		if err != nil {
			t.Fatal(err)
		}
		again, err := w.establish(hub, "game#5@dev", 7) // the same process, whose link was cut without our notice
		if err != nil {
			t.Fatal(err)
		}
		if old.over() != io.EOF {
			t.Error("the older link stands")
		}
		newer, err := w.establish(hub, "game#5@dev", 9)
		if err != nil {
			t.Fatal(err)
		}
		if again.over() != io.EOF {
			t.Error("the older link stands")
		}
		synctest.Wait()
		if l := hub.Get("game#5@dev"); l == nil || l.Epoch != 9 || l.Ended() != nil || len(hub.Named("game")) != 1 {
			t.Errorf("the link is %+v", l)
		}
		if _, err = w.establish(hub, "game#5@dev", 8); err == nil || !strings.Contains(err.Error(), "epoch 8 has been replaced by one of epoch 9") {
			t.Errorf("an older process: %v", err)
		}
		newer.session.Close(nil)
		newer.over()
		synctest.Wait()
		if hub.Get("game#5@dev") != nil {
			t.Error("an ended link is left")
		}
		lease, err := hub.reg.Register(t.Context(), discovery.Service{Name: "game", Index: 5, Group: "dev", State: discovery.Ready})
		if err != nil {
			t.Fatal(err)
		}
		epoch := lease.Service().Epoch
		if _, err = w.establish(hub, "game#5@dev", epoch-1); err == nil {
			t.Error("older than in discovery, and linked")
		}
		if _, err = w.establish(hub, "game#5@dev", epoch); err != nil {
			t.Error(err)
		}
	})
}

// A process whose svcid another has taken gets no link back, and is told why.
func TestReplacedProcess(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		hub := w.start("hub", setup{})
		old := w.start("game", setup{dials: []string{"hub"}})
		linked(t, hub, old)
		newer := w.start("game", setup{dials: []string{"hub"}})
		time.Sleep(time.Minute)
		linked(t, hub, newer)
		if len(old.All()) != 0 {
			t.Error("the replaced process is linked")
		}
		for _, n := range []*node{hub, old} {
			if lines := n.log.lines("level=WARN", "has been replaced"); len(lines) != 1 {
				t.Errorf("%s warned %q", n.id(), n.log.lines("level=WARN"))
			}
		}
	})
}

// The dialing side takes nobody else for whom it dialed.
func TestImpostor(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.start("agent", setup{dials: []string{"game"}, secret: "s3cret"})
		other := w.start("hub", setup{secret: "s3cret"})
		g := w.start("game", setup{silent: true})
		g.announce(other.lease.Service().Addr) // wrong: hub is there
		time.Sleep(time.Minute)
		notLinked(t, a, g)
		notLinked(t, a, other)
		if trouble := a.Trouble("game"); !strings.Contains(trouble, "game#0@dev was dialed, but this is hub#0@dev") {
			t.Errorf("the trouble is %q", trouble)
		}
	})
}

// Whatever is sent to a service that has a secret, without the secret there is
// no link.
func FuzzHandshake(f *testing.F) {
	frame := func(m pb.Message) []byte {
		var head [headLen]byte
		putHead(&head, Control, m.MsgID(), 0)
		body, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		return append(head[:], body...)
	}
	hello := frame(&pb.LinkHelloREQ{Svcid: "agent#0@dev", Epoch: 1, Version: protocolVersion, Nonce: peerauth.NewNonce(), Expect: "game#0@dev"})
	f.Add(hello, frame(&pb.LinkConfirm{Proof: make([]byte, 32)}), true)
	f.Add(hello, frame(&pb.LinkHelloACK{Svcid: "game#0@dev", Version: protocolVersion, Nonce: peerauth.NewNonce()}), false)
	f.Add([]byte{}, []byte{0}, false)
	f.Fuzz(func(t *testing.T, first, second []byte, dialing bool) {
		memory := discovery.NewMemory()
		reg := memory.Open()
		defer reg.Close()
		ls := New(Config{Self: func() discovery.Service { return discovery.Service{ID: "game#0@dev"} }, Registry: reg, Secret: "s3cret"})
		s := deadEnd(ls)
		defer s.Abort(nil)
		h := newAccepting(ls, s)
		if dialing {
			h = newDialing(ls, s, dialKey{"game#0@dev", "memory:1"})
		}
		for _, b := range [][]byte{first, second} {
			if h.Frame(b) != nil {
				break // the session is closed
			}
		}
		if h.link != nil || len(ls.All()) != 0 {
			t.Fatal("linked")
		}
	})
}
