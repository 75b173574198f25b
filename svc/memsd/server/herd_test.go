package server

import (
	"net"
	"sync"
	"testing"
	"time"

	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// timed is a listener that notes when connections come.
type timed struct {
	net.Listener
	mu    sync.Mutex
	times []time.Time
}

func (l *timed) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.mu.Lock()
		l.times = append(l.times, time.Now())
		l.mu.Unlock()
	}
	return c, err
}

// TestNoThunderingHerd: when memsd was away for so long that all wait as long as they ever do, its clients come back
// within 3 s, but not all at once.
func TestNoThunderingHerd(t *testing.T) {
	const n = 200
	inWorld(t, func(t *testing.T, w *world) {
		s := w.memsd(Options{})
		for range n {
			if _, err := w.client().Register(t.Context(), game(-1)); err != nil {
				t.Fatal(err)
			}
		}
		s.stop()
		time.Sleep(time.Minute)
		inner, err := w.net.Listen(addr)
		if err != nil {
			t.Fatal(err)
		}
		l := &timed{Listener: inner}
		began := time.Now()
		back := startOn(t, l, Options{})
		for snap := back.Snapshot(); ; {
			if services, _ := snap.Len(); services == n {
				break
			}
			if snap, err = back.feed.Wait(t.Context(), snap.Revision()); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("all were back after %v", took)
		}
		const window = 100 * time.Millisecond
		most := 0
		for i, from := range l.times {
			in := 0
			for _, at := range l.times[i:] {
				if at.Sub(from) < window {
					in++
				}
			}
			most = max(most, in)
		}
		if most > n/4 || len(l.times) != n {
			t.Errorf("%d connections for %d clients, %d of them within %v", len(l.times), n, most, window)
		}
	})
}

// TestMaxClients: one more than allowed is turned away; those that are in notice nothing, and a place that becomes free
// is given again.
func TestMaxClients(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.memsd(Options{MaxClients: 2})
		a, b := w.client(), w.client()
		for _, c := range []*discovery.Client{a, b} {
			if err := discovery.Set(t.Context(), c, "k", "v"); err != nil {
				t.Fatal(err)
			}
		}
		c := w.client()
		time.Sleep(10 * time.Second)
		if c.Connected() == nil || c.Snapshot().Revision() != 0 {
			t.Error("a third client is in")
		}
		if a.Connected() != nil || b.Connected() != nil {
			t.Errorf("those who were in are out: %v, %v", a.Connected(), b.Connected())
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		if err := discovery.Set(t.Context(), c, "k", "w"); err != nil {
			t.Error(err)
		}
	})
}
