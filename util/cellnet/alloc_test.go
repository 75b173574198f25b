//go:build !race

package cellnet

import (
	"io"
	"net"
	"testing"
	"unsafe"
)

// Under the race detector sync.Pool drops what it is given, now and then.

// A round trip over real sockets, reading, handing over, appending and
// writing, allocates nothing.
func TestEchoAllocatesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		web    bool
		cfg    *Config
		packet string
	}{
		"tcp":  {packet: "\x06\x00\x71\x3fping", cfg: &Config{}},
		"link": {packet: "\x06\x00\x00\x00\x71\x3fping", cfg: &Config{Framing: LinkFraming, Gather: always, Attend: 1}},
		"ws":   {packet: string(wsFrame(0x82, "\x71\x3fping")), web: true, cfg: &Config{}},
	} {
		t.Run(name, func(t *testing.T) {
			ours, peer := tcpPair(t)
			c.cfg.Counters = new(Counters)
			s := NewSession(ours, c.cfg)
			size := len(c.packet)
			if c.web {
				s.web = &webSocket{}
				size -= 4 // no mask in the answer
			}
			run(t, s, &echo{s: s})
			packet, answer := []byte(c.packet), make([]byte, size)
			allocs := testing.AllocsPerRun(1000, func() {
				peer.Write(packet)
				if _, err := io.ReadFull(peer, answer); err != nil {
					t.Fatal(err)
				}
			})
			if allocs != 0 {
				t.Errorf("%v allocations for a round trip", allocs)
			}
		})
	}
}

func TestBatchAllocatesNothing(t *testing.T) {
	s, peer := pair(t, &Config{Framing: LinkFraming}, &Config{Framing: LinkFraming})
	run(t, peer, &sink{})
	head, body := make([]byte, 12), make([]byte, 64)
	allocs := testing.AllocsPerRun(500, func() {
		for range 100 {
			if _, err := s.Append(head, body); err != nil {
				t.Fatal(err)
			}
		}
		s.Flush()
	})
	if allocs != 0 {
		t.Errorf("%v allocations for 100 frames and a flush", allocs)
	}
	s.Close(nil)
}

// sink is a Handler that forgets what it is handed.
type sink struct{ frames int }

func (k *sink) Frame([]byte) error { k.frames++; return nil }
func (k *sink) Batch()             {}
func (k *sink) Closed(error)       {}

// Nor does one with a session that a loop reads.
func TestInlineEchoAllocatesNothing(t *testing.T) {
	a := echoes()
	a.Inline, a.loopFrom = true, 1
	peer, err := net.Dial("tcp", serve(t, a))
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	packet, answer := []byte("\x06\x00\x71\x3fping"), make([]byte, 8)
	allocs := testing.AllocsPerRun(1000, func() {
		peer.Write(packet)
		if _, err := io.ReadFull(peer, answer); err != nil {
			t.Fatal(err)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations for a round trip", allocs)
	}
}

// What a message for many needs of a session stands together.
func TestWriteNeedsLittle(t *testing.T) {
	var s Session
	if n := unsafe.Offsetof(s.sock) + unsafe.Sizeof(int64(0)); n > 64 {
		t.Errorf("it takes %d bytes", n)
	}
}

// Nor does a message for many.
func TestPreparedAllocatesNothing(t *testing.T) {
	var all []*Session
	var peers []net.Conn
	for range 2 * fetchAtOnce {
		ours, peer := tcpPair(t)
		all, peers = append(all, NewSession(ours, new(Config))), append(peers, peer)
	}
	var p Prepared
	body, in := make([]byte, 64), make([]byte, 4+64)
	allocs := testing.AllocsPerRun(100, func() {
		p.Set(1, body)
		p.Send(all)
		for _, c := range peers {
			if _, err := io.ReadFull(c, in); err != nil {
				t.Fatal(err)
			}
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations for a message to %d", allocs, len(all))
	}
}
