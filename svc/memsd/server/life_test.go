package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/davyxu/cellmesh_demo/util/cellnet"
	"github.com/davyxu/cellmesh_demo/util/discovery"
	"github.com/davyxu/cellmesh_demo/util/discovery/store"
	"github.com/davyxu/cellmesh_demo/util/discovery/wire"
)

// The tests in this file have their own time: synctest moves it on as soon as everybody waits. Their network is in
// memory.

// world is a memsd and its clients on a network in memory.
type world struct {
	t   *testing.T
	net cellnet.MemoryNetwork
}

const addr = "memsd:1"

func (w *world) memsd(o Options) *running {
	w.t.Helper()
	l, err := w.net.Listen(addr)
	if err != nil {
		w.t.Fatal(err)
	}
	o.Log = slog.New(slog.DiscardHandler)
	return startOn(w.t, l, o)
}

func (w *world) client() *discovery.Client {
	return dial(w.t, addr, discovery.Options{DialContext: w.net.Dial})
}

// raw connects a client of the bare protocol, which sends no pings.
func (w *world) raw(ttl time.Duration) *raw {
	r := rawDial(w.t, addr, &cellnet.Config{DialContext: w.net.Dial})
	r.hello(ttl)
	return r
}

func (r *raw) register(owner string, svc store.Service) store.Service {
	r.t.Helper()
	m, ok := r.ask(wire.Request{Do: wire.DoRegister, Owner: owner, Service: &svc})
	if !ok || m.Service == nil {
		r.t.Fatalf("register %+v is answered with %+v, %v", svc, m, ok)
	}
	return *m.Service
}

func game(index int) store.Service {
	return store.Service{Name: "game", Group: "dev", Index: index, State: store.Ready}
}

func inWorld(t *testing.T, test func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) { test(t, &world{t: t}) })
}

// TestSilentProcessExpires: a process that is frozen, or whose cable was pulled, is connected as far as the system can
// tell.
func TestSilentProcessExpires(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.memsd(Options{Grace: time.Second})
		c := w.client()
		frozen := w.raw(6 * time.Second)
		svc := frozen.register("me", game(-1))
		until(t, c, "it is there", has(svc.ID))
		begin := time.Now()
		until(t, c, "it is gone", hasNot(svc.ID))
		if took := time.Since(begin); took < 6*time.Second || took > 8*time.Second {
			t.Errorf("a silent process was removed after %v, its time-to-live is 6 s", took)
		}
		// It wakes up and finds its connection closed. The ID is free: it comes back as what it was.
		for range frozen.replies {
		}
		again := w.raw(6 * time.Second)
		if back := again.register("me", svc); !back.Equal(svc) {
			t.Errorf("it came back as %+v, and was %+v", back, svc)
		}
		// It freezes again, and this time another process takes the ID meanwhile.
		for range again.replies {
		}
		until(t, c, "it is gone again", hasNot(svc.ID))
		newer, err := c.Register(t.Context(), game(0))
		if err != nil {
			t.Fatal(err)
		}
		third := w.raw(6 * time.Second)
		m, _ := third.ask(wire.Request{Do: wire.DoRegister, Owner: "me", Service: &svc})
		if !errors.Is(m.Error.Err(), store.ErrReplaced) {
			t.Errorf("coming back to an ID that is taken is answered with %+v", m)
		}
		if _, ok := third.ask(wire.Request{Do: wire.DoLeave, Owner: "me"}); !ok {
			t.Error("its late goodbye was not answered")
		}
		if got, ok := c.Snapshot().Service(svc.ID); !ok || !got.Equal(newer.Service()) {
			t.Errorf("its late goodbye left %+v", got)
		}
	})
}

// TestGoodClientStays: a client that has nothing to say is not taken for dead, and costs next to nothing.
func TestGoodClientStays(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		s := w.memsd(Options{})
		c := w.client()
		l, err := c.Register(t.Context(), game(-1))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // everything settles
		frames, rev := s.Counters().FramesIn.Load(), c.Snapshot().Revision()
		time.Sleep(time.Hour)
		if got := s.Counters().FramesIn.Load() - frames; got > 1100 { // one ping every third of 10 s
			t.Errorf("a quiet client sent %d frames in an hour", got)
		}
		if err := c.Connected(); err != nil {
			t.Error(err)
		}
		if c.Snapshot().Revision() != rev || !has(l.Service().ID)(c.Snapshot()) {
			t.Error("something changed in a quiet hour")
		}
	})
}

// TestFrozenMemsd: a memsd that takes connections but says nothing is left, and everything goes on with the snapshot.
func TestFrozenMemsd(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		s := w.memsd(Options{})
		c := w.client()
		l, err := c.Register(t.Context(), game(-1))
		if err != nil {
			t.Fatal(err)
		}
		s.stop()
		listener, err := w.net.Listen(addr)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		frozen := make(chan struct{})
		go func() {
			defer close(frozen)
			a := cellnet.Acceptor{Config: &cellnet.Config{Framing: cellnet.LinkFraming}, Open: func(*cellnet.Session) (cellnet.Handler, error) { return deaf{}, nil }}
			_ = a.Serve(ctx, listener)
		}()
		time.Sleep(time.Minute)
		if c.Connected() == nil {
			t.Error("the client takes a memsd that says nothing for one")
		}
		if !has(l.Service().ID)(c.Snapshot()) {
			t.Error("the snapshot lost a service because memsd froze")
		}
		cancel()
		<-frozen
		began := time.Now()
		w.memsd(Options{})
		until(t, c, "it is connected", func(*discovery.Snapshot) bool { return c.Connected() == nil })
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("it took %v to be back", took)
		}
	})
}

type deaf struct{}

func (deaf) Frame([]byte) error { return nil }
func (deaf) Batch()             {}
func (deaf) Closed(error)       {}

// TestBrokenConnection: a connection that breaks is made anew before anybody notices; that of a process that was killed
// is not, and its services go a little later.
func TestBrokenConnection(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		s := w.memsd(Options{Grace: 2 * time.Second})
		c := w.client()
		a := w.raw(time.Minute)
		svc := a.register("me", game(-1))
		from := until(t, c, "it is there", has(svc.ID)).Revision()
		a.s.Abort(errors.New("the cable"))
		time.Sleep(time.Second)
		b := w.raw(time.Minute)
		if back := b.register("me", svc); !back.Equal(svc) {
			t.Errorf("it came back as %+v, and was %+v", back, svc)
		}
		time.Sleep(5 * time.Second)
		if rev := s.Snapshot().Revision(); rev != from {
			t.Errorf("a broken connection was noticed: revision %d, before %d", rev, from)
		}
		b.s.Abort(errors.New("killed"))
		synctest.Wait() // memsd has seen it
		died := time.Now()
		// A new process gets its index, and only when it is clear that it is free.
		lease, err := c.Register(t.Context(), game(-1))
		if err != nil {
			t.Fatal(err)
		}
		if lease.Service().Index != 0 || lease.Service().Epoch <= svc.Epoch {
			t.Errorf("the next process became %+v after %+v", lease.Service(), svc)
		}
		if took := time.Since(died); took < time.Second || took > 3*time.Second {
			t.Errorf("the index was given %v after the old owner's connection broke", took)
		}
	})
}

// TestMemsdComesBack lets many services live through the death of memsd, with its data and without, and a new
// process that wants an index while they are coming back.
func TestMemsdComesBack(t *testing.T) {
	const n = 50
	for _, c := range []struct {
		downtime time.Duration
		file     bool
	}{{0, false}, {time.Minute, false}, {time.Minute, true}} {
		t.Run(fmt.Sprintf("DownFor%vFile%v", c.downtime, c.file), func(t *testing.T) {
			dir := t.TempDir()
			inWorld(t, func(t *testing.T, w *world) {
				var o Options
				if c.file {
					o.File = filepath.Join(dir, "persist.json")
				}
				s := w.memsd(o)
				var leases []discovery.Lease
				observer := w.client()
				if err := discovery.Set(t.Context(), observer, "k", "v"); err != nil {
					t.Fatal(err)
				}
				for range n {
					l, err := w.client().Register(t.Context(), game(-1))
					if err != nil {
						t.Fatal(err)
					}
					leases = append(leases, l)
				}
				all := func(s *discovery.Snapshot) bool { n, _ := s.Len(); return n == len(leases) }
				before := until(t, observer, "all are there", all)
				// Nobody must ever see fewer services than there are.
				watched := make(chan error, 1)
				watching, stop := context.WithCancel(t.Context())
				go func() {
					rev := before.Revision()
					for ev := range observer.Watch(watching, rev) {
						if !all(observer.Snapshot()) && watching.Err() == nil {
							n, _ := observer.Snapshot().Len()
							watched <- fmt.Errorf("at revision %d there are %d services", ev.Revision, n)
							return
						}
					}
					watched <- nil
				}()
				s.stop()
				time.Sleep(c.downtime)
				if !all(observer.Snapshot()) {
					t.Error("services were lost while memsd was down")
				}
				began := time.Now()
				s = w.memsd(o)
				early := make(chan discovery.Lease, 1)
				go func() {
					l, err := w.client().Register(t.Context(), game(-1))
					if err != nil {
						t.Error(err)
					}
					early <- l
				}()
				for s := s.feed; ; {
					snap, err := s.Wait(t.Context(), s.Snapshot().Revision())
					if err != nil {
						t.Fatal(err)
					}
					back := 0
					for _, l := range leases {
						if got, ok := snap.Service(l.Service().ID); ok && got.Equal(l.Service()) {
							back++
						}
					}
					if back == len(leases) {
						break
					}
				}
				took := time.Since(began)
				t.Logf("%d services were back after %v", n, took)
				if took > 3*time.Second {
					t.Errorf("it took %v until all services were back", took)
				}
				for _, l := range leases {
					svc := l.Service()
					if got, ok := s.Snapshot().Service(svc.ID); !ok || !got.Equal(svc) {
						t.Errorf("%s came back as %+v, and was %+v", svc.ID, got, svc)
					}
					select {
					case err := <-l.Lost():
						t.Errorf("%s was lost: %v", svc.ID, err)
					default:
					}
				}
				stop()
				if err := <-watched; err != nil {
					t.Error(err)
				}
				// A memsd that remembers that there were services keeps a newcomer waiting. One that knows nothing may give an
				// index of theirs to who comes first; then the elder gets it back, for it has users.
				l := <-early
				if l.Service().Index != n {
					if c.file {
						t.Errorf("a process that came while the others were on their way back became %s", l.Service().ID)
					}
					if err := <-l.Lost(); !errors.Is(err, discovery.ErrReplaced) {
						t.Errorf("it became %s and was told %v", l.Service().ID, err)
					}
				} else {
					leases = append(leases, l)
				}
				after := until(t, observer, "memsd has settled", func(s *discovery.Snapshot) bool {
					return all(s) && s.Revision() > before.Revision()
				})
				if _, ok := after.Value("k"); ok != c.file {
					t.Errorf("the value of an earlier life is shown: %v", ok)
				}
			})
		})
	}
}

// TestDeadWhileMemsdWasDown: a service that died together with memsd is shown until memsd has settled, and no longer.
func TestDeadWhileMemsdWasDown(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		s := w.memsd(Options{})
		observer := w.client()
		dead := w.raw(time.Minute)
		svc := dead.register("dead", game(0))
		alive, err := w.client().Register(t.Context(), game(1))
		if err != nil {
			t.Fatal(err)
		}
		until(t, observer, "both are there", func(s *discovery.Snapshot) bool { n, _ := s.Len(); return n == 2 })
		dead.s.Abort(errors.New("killed"))
		s.stop()
		if !has(svc.ID)(observer.Snapshot()) {
			t.Error("it is gone already") // then this test tests nothing
		}
		time.Sleep(10 * time.Second)
		began := time.Now()
		w.memsd(Options{Settle: 4 * time.Second})
		snap := until(t, observer, "the dead one is gone", hasNot(svc.ID))
		if took := time.Since(began); took < 3*time.Second || took > 5*time.Second {
			t.Errorf("the dead one was shown for %v", took)
		}
		if !has(alive.Service().ID)(snap) {
			t.Error("the living one is gone with it")
		}
		// A client that was out of reach all the time finds what is.
	})
}

// TestUpdateWhileDown: what a service says of itself while memsd is away is there when memsd is back.
func TestUpdateWhileDown(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		s := w.memsd(Options{})
		observer, c := w.client(), w.client()
		l, err := c.Register(t.Context(), game(0))
		if err != nil {
			t.Fatal(err)
		}
		gone, err := c.Register(t.Context(), game(1))
		if err != nil {
			t.Fatal(err)
		}
		until(t, observer, "it is there", has("game#1@dev"))
		s.stop()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err = l.Update(ctx, func(s *discovery.Service) { s.State = discovery.Draining })
		if !errors.Is(err, discovery.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("update without memsd: %v", err)
		}
		if err := gone.Close(t.Context()); err != nil {
			t.Errorf("leaving without memsd: %v", err)
		}
		if _, err := c.Apply(ctx, discovery.SetOp("k", "v")); !errors.Is(err, discovery.ErrUnavailable) {
			t.Errorf("apply without memsd: %v", err)
		}
		w.memsd(Options{})
		until(t, observer, "the update is there", func(s *discovery.Snapshot) bool {
			svc, ok := s.Service("game#0@dev")
			return ok && svc.State == discovery.Draining
		})
		until(t, observer, "the other is gone", hasNot("game#1@dev"))
		if _, ok := observer.Snapshot().Value("k"); ok {
			t.Error("a write that was reported as not done was done")
		}
	})
}

// TestInDoubt: a write whose answer is lost is not reported as done, and not as not done.
func TestInDoubt(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		l, err := w.net.Listen(addr)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan struct{})
		go func() {
			defer close(served)
			a := cellnet.Acceptor{Config: &cellnet.Config{Framing: cellnet.LinkFraming}, Open: func(s *cellnet.Session) (cellnet.Handler, error) {
				return &forgetful{s: s}, nil
			}}
			_ = a.Serve(ctx, l)
		}()
		c := w.client()
		for _, end := range []string{"lost connection", "impatience"} {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			_, err := c.Apply(ctx, discovery.SetOp(end, ""))
			cancel()
			if !errors.Is(err, discovery.ErrInDoubt) {
				t.Errorf("%s: %v; want ErrInDoubt", end, err)
			}
		}
		cancel()
		<-served
	})
}

// forgetful is a memsd that greets, and then never answers a write.
type forgetful struct{ s *cellnet.Session }

func (f *forgetful) Frame(b []byte) error {
	r, err := wire.ParseRequest(b)
	if err != nil {
		return err
	}
	reply := wire.Reply{ID: r.ID, Welcome: &wire.Welcome{History: "x"}, Page: &wire.Page{Revision: 1}}
	if r.Do == wire.DoApply {
		if r.Ops[0].Key == "lost connection" {
			return errors.New("crash")
		}
		return nil
	}
	if b, err = wire.Append(nil, reply); err != nil {
		return err
	}
	return f.s.Send(nil, b)
}
func (f *forgetful) Batch()       {}
func (f *forgetful) Closed(error) {}
