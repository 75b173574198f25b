package clientapi

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/util/cellnet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is an agent in memory that takes any token and remembers when each
// client's heartbeats came.
type server struct {
	*cellnet.Session
	mute  bool // never answers
	mu    sync.Mutex
	beats []time.Time
}

func (s *server) Frame(b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch id := cellnet.MessageID(b); {
	case s.mute:
	case id == pb.PingACKID:
		s.beats = append(s.beats, time.Now())
		return s.Send(b, nil)
	case id == pb.VerifyREQID:
		return s.SendMessage(pb.VerifyACKID, nil)
	}
	return nil
}

func (s *server) Batch()       {}
func (s *server) Closed(error) {}

// listener is a client that remembers its end.
type listener struct {
	mu  sync.Mutex
	end []error
}

func (l *listener) Message(uint16, []byte) error { return nil }
func (l *listener) Batch()                       {}
func (l *listener) Closed(err error)             { l.mu.Lock(); l.end = append(l.end, err); l.mu.Unlock() }

// connect is a client in memory, and its server.
func connect(t *testing.T, ctx context.Context, cfg Config, mute bool) (*Conn, *server, *listener, error) {
	t.Helper()
	ours, theirs := net.Pipe()
	s := &server{Session: cellnet.NewSession(theirs, nil), mute: mute}
	done := make(chan struct{})
	go func() { defer close(done); s.Run(context.Background(), s) }()
	t.Cleanup(func() { s.Close(nil); <-done })
	cfg.CommType = "tcp"
	cfg.Session = &cellnet.Config{DialContext: func(context.Context, string, string) (net.Conn, error) { return ours, nil }}
	l := &listener{}
	conn, err := Connect(ctx, Grant{Agent: "memory:1"}, &cfg, l)
	return conn, s, l, err
}

// Shared heartbeats come every 5 s from every client, spread over the time, and
// end with the client.
func TestBeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Beats
		ctx, stop := context.WithCancel(t.Context())
		var background sync.WaitGroup
		background.Go(func() { b.Run(ctx) })
		const clients = 50
		var servers []*server
		var conns []*Conn
		for range clients {
			conn, s, _, err := connect(t, ctx, Config{Beats: &b}, false)
			if err != nil {
				t.Fatal(err)
			}
			conns, servers = append(conns, conn), append(servers, s)
		}
		start := time.Now()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		conns[0].Close()
		time.Sleep(13*time.Second + time.Millisecond)
		synctest.Wait()
		slots := map[time.Duration]int{}
		for i, s := range servers[1:] {
			s.mu.Lock()
			if len(s.beats) != 3 {
				t.Errorf("client %d: %d heartbeats in 15 s, want 3", i+1, len(s.beats))
			}
			last := start
			for _, at := range s.beats {
				if at.Sub(last) > heartbeatEvery {
					t.Errorf("client %d: %v without a heartbeat", i+1, at.Sub(last))
				}
				last = at
			}
			slots[s.beats[0].Sub(start).Truncate(heartbeatEvery/10)]++
			s.mu.Unlock()
		}
		for slot, n := range slots {
			if n > clients/10+1 {
				t.Errorf("%d first heartbeats within %v from %v", n, heartbeatEvery/10, slot)
			}
		}
		left := 0
		for _, slot := range b.slots {
			left += len(slot)
		}
		if left != clients-1 {
			t.Errorf("%d clients are entered, want %d", left, clients-1)
		}
		stop()
		background.Wait()
		for _, c := range conns {
			<-c.Done()
		}
	})
}

// Without Beats a client has its own.
func TestOwnHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, s, l, err := connect(t, t.Context(), Config{}, false)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(15*time.Second + time.Millisecond)
		synctest.Wait()
		conn.Close()
		if len(s.beats) != 3 {
			t.Errorf("%d heartbeats in 15 s, want 3", len(s.beats))
		}
		if len(l.end) != 1 || !errors.Is(l.end[0], conn.Err()) {
			t.Errorf("the handler heard %v of the end, want %v", l.end, conn.Err())
		}
	})
}

// A server that never answers is given up.
func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		_, _, l, err := connect(t, t.Context(), Config{Timeout: 3 * time.Second}, true)
		if took := time.Since(start); err == nil || took < 3*time.Second || took > 6*time.Second {
			t.Errorf("after %v: %v", took, err)
		}
		if len(l.end) != 0 {
			t.Error("a handler heard of the end of a connection that it never had")
		}
	})
}
