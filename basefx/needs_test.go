package basefx

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// needing is a service that needs what why says.
func needing(why func(*discovery.Snapshot) string) *testService {
	return &testService{start: func(_ context.Context, app *App) error {
		app.Need("water", why)
		return nil
	}}
}

// waits is what discovery says about the waiting of test#0.
func waits(reg discovery.Registry) string {
	svc, ok := reg.Snapshot().Service("test#0@dev")
	if !ok {
		return "not registered"
	}
	return string(svc.State) + " " + svc.Meta[discovery.MetaWaits]
}

// What is missing is said once for each answer, to the log, to discovery and to
// /readyz; and the process is ready as soon as it is there.
func TestNeedIsSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var why atomic.Pointer[string]
		set := func(s string) { why.Store(&s) }
		set("the well is dry: dig deeper")
		p := launch(t, needing(func(*discovery.Snapshot) string { return *why.Load() }), runOptions{})
		synctest.Wait()
		if *p.app.waits.Load() != "waiting for water: the well is dry: dig deeper" {
			t.Errorf("/readyz says %q", *p.app.waits.Load())
		}
		time.Sleep(time.Hour)
		if n := p.log.count("the well is dry"); n != 1 {
			t.Errorf("said %d times", n)
		}
		if got := waits(p.reg); got != "starting waiting for water: the well is dry: dig deeper" {
			t.Errorf("discovery says %q", got)
		}
		for range 10 { // an answer that comes and goes is said once
			set("the pump is broken")
			time.Sleep(time.Second)
			set("the well is dry: dig deeper")
			time.Sleep(time.Second)
		}
		if n, m := p.log.count("the well is dry"), p.log.count("the pump is broken"); n != 1 || m != 1 {
			t.Errorf("said %d and %d times", n, m)
		}
		set("")
		<-p.ready
		if got := waits(p.reg); got != "ready " {
			t.Errorf("discovery says %q", got)
		}
		if p.app.waits.Load() != nil {
			t.Error("/readyz still waits")
		}
	})
}

// Nobody is told about a need that is met in a moment.
func TestShortNeedIsNotSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := discovery.NewMemory()
		p := launch(t, needing(func(s *discovery.Snapshot) string {
			if _, ok := s.Value("water"); !ok {
				return "no water"
			}
			return ""
		}), runOptions{memory: memory})
		time.Sleep(patience - time.Millisecond)
		began := time.Now()
		if err := discovery.Set(t.Context(), p.reg, "water", "wet"); err != nil {
			t.Fatal(err)
		}
		<-p.ready
		if time.Since(began) != 0 {
			t.Errorf("ready only %v after the need was met", time.Since(began))
		}
		if n := p.log.count("waiting"); n != 0 {
			t.Errorf("said %d times", n)
		}
	})
}

// Ready means that all needs are met at the same time.
func TestNeedsAreMetTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := launch(t, &testService{start: func(_ context.Context, app *App) error {
			for _, key := range []string{"bread", "wine"} {
				app.Need(key, func(s *discovery.Snapshot) string {
					if _, ok := s.Value(key); !ok {
						return "no " + key
					}
					return ""
				})
			}
			return nil
		}}, runOptions{})
		set := func(key string) {
			synctest.Wait()
			if err := discovery.Set(t.Context(), p.reg, key, "x"); err != nil {
				t.Fatal(err)
			}
		}
		set("bread")
		synctest.Wait()
		if err := discovery.Delete(t.Context(), p.reg, "bread"); err != nil {
			t.Fatal(err)
		}
		set("wine")
		time.Sleep(time.Minute)
		select {
		case <-p.ready:
			t.Error("ready without bread")
		default:
		}
		set("bread")
		<-p.ready
	})
}

// A long answer is cut for discovery, which bounds what it takes.
func TestLongWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := launch(t, needing(func(*discovery.Snapshot) string { return strings.Repeat("ü", 100_000) }), runOptions{})
		time.Sleep(time.Minute)
		if got := len(waits(p.reg)); got < maxWaits/2 || got > maxWaits+20 {
			t.Errorf("discovery has %d bytes", got)
		}
	})
}

// What NeedLink and NeedService say is what the operator has to do.
func TestWhatIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := discovery.NewMemory()
		other := memory.Open()
		defer other.Close()
		var app *App
		launch(t, &testService{start: func(_ context.Context, a *App) error {
			app = a
			a.NeedLink("game")
			return nil
		}}, runOptions{memory: memory})
		synctest.Wait()
		says := func(what, want string) {
			t.Helper()
			synctest.Wait()
			if got := *app.waits.Load(); !strings.Contains(got, want) {
				t.Errorf("%s: %q, want %q", what, got, want)
			}
		}
		register := func(index int, group string) discovery.Lease {
			t.Helper()
			l, err := other.Register(t.Context(), discovery.Service{Name: "game", Index: index, Group: group, State: discovery.Starting})
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		says("nobody", "waiting for game: no game is running: go run ./svc/game")
		register(0, "blue")
		says("another group", "no game that -linkrule allows; there is game#0@blue")
		l := register(0, "dev")
		says("starting", "game#0@dev is not ready yet")
		register(1, "zoo")
		says("starting, and another group", "game#0@dev is not ready yet")
		if err := l.Update(t.Context(), func(s *discovery.Service) { s.Addr = "nowhere" }); err != nil {
			t.Fatal(err)
		}
		time.Sleep(patience)
		says("unreachable", "cannot link to game: game#0@dev at nowhere: ")

		app.needs = nil
		app.NeedService("social")
		service := func() string { _, why := app.unmet(); return why }
		if got := service(); got != "no social is running: go run ./svc/social" {
			t.Error(got)
		}
		s, err := other.Register(t.Context(), discovery.Service{Name: "social", Group: "dev", State: discovery.Starting})
		if err != nil {
			t.Fatal(err)
		}
		if got := service(); got != "social#0@dev is not ready yet" {
			t.Error(got)
		}
		for _, state := range []discovery.State{discovery.Draining, discovery.Ready} {
			if err := s.Update(t.Context(), func(s *discovery.Service) { s.State = state }); err != nil {
				t.Fatal(err)
			}
			if got := service(); (got == "") != (state == discovery.Ready) {
				t.Errorf("%s: %q", state, got)
			}
		}
	})
}

// awayLease is a lease whose engine is away until it is back: calls wait, as
// those of the real client do.
type awayLease struct {
	discovery.Lease
	back *atomic.Pointer[chan struct{}]
}

func (l awayLease) Update(ctx context.Context, change func(*discovery.Service)) error {
	select {
	case <-*l.back.Load():
		return l.Lease.Update(ctx, change)
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", discovery.ErrUnavailable, ctx.Err())
	}
}

type awayRegistry struct {
	discovery.Registry
	back atomic.Pointer[chan struct{}]
}

func (r *awayRegistry) Register(ctx context.Context, s discovery.Service) (discovery.Lease, error) {
	l, err := r.Registry.Register(ctx, s)
	return awayLease{l, &r.back}, err
}

// memsd goes away while a service is starting: it waits, can be stopped, and
// becomes ready when memsd is back.
func TestMemsdGoesAwayDuringStart(t *testing.T) {
	for _, interrupt := range []bool{true, false} {
		t.Run(fmt.Sprint("interrupt ", interrupt), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &awayRegistry{Registry: discovery.NewMemory().Open()}
				away := make(chan struct{})
				r.back.Store(&away)
				p := launch(t, needing(func(*discovery.Snapshot) string { return "" }), runOptions{registry: r})
				time.Sleep(time.Minute)
				if interrupt {
					began := time.Now()
					if err := p.end(); err != nil || time.Since(began) > time.Second {
						t.Errorf("ended after %v with %v", time.Since(began), err)
					}
					return
				}
				select {
				case <-p.ready:
					t.Fatal("ready without memsd")
				default:
				}
				close(away)
				<-p.ready
			})
		})
	}
}
