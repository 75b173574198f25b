package cellnet

import (
	"testing"
)

// pinger sends a frame whenever one arrives, until it has sent enough.
type pinger struct {
	s    *Session
	left int
	done chan struct{}
	body []byte
}

func (p *pinger) Frame(b []byte) error {
	if p.left--; p.left < 0 {
		return nil
	}
	if p.left == 0 {
		close(p.done)
		return nil
	}
	_, err := p.s.AppendMessage(MessageID(b), Body(b))
	return err
}

func (p *pinger) Batch()       { p.s.Flush() }
func (p *pinger) Closed(error) {}

// benchEcho measures round trips of 64 bytes over conns connections, inFlight
// on each.
func benchEcho(b *testing.B, scheme string, conns, inFlight int, inline bool) {
	counters := new(Counters)
	addr := serve(b, &Acceptor{
		Config:    &Config{Counters: counters},
		WebSocket: true,
		Inline:    inline,
		Open:      func(s *Session) (Handler, error) { return &echo{s: s}, nil },
	})
	body := make([]byte, 64)
	var pingers []*pinger
	for range conns {
		s := dial(b, scheme+"://"+addr+"/", nil)
		p := &pinger{s: s, left: max(b.N/conns, inFlight), done: make(chan struct{}), body: body}
		run(b, s, p)
		pingers = append(pingers, p)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for _, p := range pingers {
		for range inFlight {
			p.s.AppendMessage(1, p.body)
		}
		p.s.Flush()
	}
	for _, p := range pingers {
		<-p.done
	}
	b.StopTimer()
	b.ReportMetric(float64(counters.FramesOut.Load())/float64(max(1, counters.Writes.Load())), "frames/write")
}

func BenchmarkEchoTCP1(b *testing.B)         { benchEcho(b, "tcp", 1, 1, false) }
func BenchmarkEchoTCP100(b *testing.B)       { benchEcho(b, "tcp", 100, 1, false) }
func BenchmarkEchoTCP100x16(b *testing.B)    { benchEcho(b, "tcp", 100, 16, false) }
func BenchmarkEchoInline1(b *testing.B)      { benchEcho(b, "tcp", 1, 1, true) }
func BenchmarkEchoInline100(b *testing.B)    { benchEcho(b, "tcp", 100, 1, true) }
func BenchmarkEchoInline100x16(b *testing.B) { benchEcho(b, "tcp", 100, 16, true) }
func BenchmarkEchoWebSocket1(b *testing.B)   { benchEcho(b, "ws", 1, 1, false) }
func BenchmarkEchoWebSocket100(b *testing.B) {
	benchEcho(b, "ws", 100, 1, false)
}

// BenchmarkEchoPlain1 is what plain net.Conn reads and writes make of it.
func BenchmarkEchoPlain1(b *testing.B) {
	c, s := tcpPair(b)
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := s.Read(buf)
			if err != nil {
				return
			}
			s.Write(buf[:n])
		}
	}()
	m, buf := make([]byte, 68), make([]byte, 4096)
	for b.Loop() {
		c.Write(m)
		c.Read(buf)
	}
	c.Close()
}
