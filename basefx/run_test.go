package basefx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// order remembers what happened when.
type order struct {
	mu   sync.Mutex
	what []string
}

func (o *order) add(what string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.what = append(o.what, what)
}

func (o *order) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.what, ", ")
}

// A stop leaves the registry, then drains while everything still runs, then
// ends goroutines, and at last calls what Finally was given.
func TestStopOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o order
		var app *App
		there := func() string {
			if _, ok := app.Registry.Snapshot().Service("test#0@dev"); ok {
				return "registered"
			}
			return "not registered"
		}
		p := launch(t, &testService{
			start: func(start context.Context, a *App) error {
				app = a
				o.add("start " + there())
				a.Go("worker", func(ctx context.Context) error {
					<-ctx.Done()
					time.Sleep(time.Second)
					o.add("worker ends")
					return ctx.Err() // after the end an error is none
				})
				a.Finally(func() { o.add("finally") })
				return nil
			},
			drain: func(ctx context.Context) error {
				time.Sleep(5 * time.Second) // players leave
				o.add(fmt.Sprint("drain ", there(), ", ", *app.waits.Load(), ", ", ctx.Err()))
				return nil
			},
		}, runOptions{})
		<-p.ready
		o.add("ready " + there())
		if err := p.end(); err != nil {
			t.Error(err)
		}
		if got, want := o.String(), "start registered, ready registered, drain not registered, stopping, <nil>, worker ends, finally"; got != want {
			t.Errorf("order: %s\nwant:  %s", got, want)
		}
		if n := p.log.count("stopping reason"); n != 1 {
			t.Errorf("%d lines about the stop", n)
		}
	})
}

// Whatever ends a process, its error says what, and nothing is left: not in the
// registry, and no goroutine.
func TestWhatEndsAProcess(t *testing.T) {
	boom := errors.New("disk is full")
	cases := map[string]struct {
		svc   testService
		words string // "" for a good end
		log   string
	}{
		"Stop(nil)": {svc: testService{start: func(_ context.Context, a *App) error { a.Stop(nil); a.Stop(boom); return nil }}},
		"Stop(err)": {svc: testService{start: func(_ context.Context, a *App) error { a.Stop(boom); return nil }}, words: "disk is full"},
		"Stop later": {svc: testService{start: func(_ context.Context, a *App) error {
			a.Go("later", func(context.Context) error { time.Sleep(testTimeout / 2); a.Stop(boom); return nil })
			return nil
		}}, words: "disk is full"},
		"an error of Start": {svc: testService{start: func(context.Context, *App) error { return boom }}, words: "disk is full"},
		"an error of a goroutine": {svc: testService{start: func(_ context.Context, a *App) error {
			a.Go("writer", func(context.Context) error { return boom })
			return nil
		}}, words: "writer: disk is full"},
		"a panic of a goroutine": {svc: testService{start: func(_ context.Context, a *App) error {
			a.Go("writer", func(context.Context) error { panic("no ink") })
			return nil
		}}, words: "writer panicked: no ink", log: "run_test.go"},
		"an error of Drain": {svc: testService{
			start: func(_ context.Context, a *App) error { a.Stop(nil); return nil },
			drain: func(context.Context) error { return boom },
		}, words: "drain: disk is full"},
		"a Drain that does not end": {svc: testService{
			start: func(_ context.Context, a *App) error { a.Stop(nil); return nil },
			drain: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		}, words: "drain: context deadline exceeded"},
		"two errors": {svc: testService{
			start: func(_ context.Context, a *App) error { a.Stop(errors.New("first")); return nil },
			drain: func(context.Context) error { return boom },
		}, words: "first; then drain: disk is full"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := launch(t, &c.svc, runOptions{})
				err := p.wait()
				if c.words == "" && err != nil || c.words != "" && (err == nil || err.Error() != c.words) {
					t.Errorf("ended with %v, want %q", err, c.words)
				}
				if n, _ := p.reg.Snapshot().Len(); n != 0 {
					t.Error("still registered")
				}
				if c.log != "" && p.log.count(c.log) == 0 {
					t.Errorf("%q is not in the log", c.log)
				}
			})
		})
	}
}

// What hangs is told by name, and the process ends nevertheless.
func TestHangingIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		p := launch(t, &testService{start: func(_ context.Context, a *App) error {
			for _, name := range []string{"writer", "reader", "reader"} {
				a.Go(name, func(context.Context) error { <-release; return nil })
			}
			a.Go("well-behaved", func(ctx context.Context) error { <-ctx.Done(); return nil })
			return nil
		}}, runOptions{})
		<-p.ready
		began := time.Now()
		if err := p.end(); err == nil || err.Error() != "did not stop within 10s, still running: [reader writer]" {
			t.Error(err)
		}
		if took := time.Since(began); took != closeTimeout {
			t.Errorf("took %v", took)
		}
		close(release)
	})
}

func TestHangingFinallyIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		p := launch(t, &testService{start: func(_ context.Context, a *App) error {
			a.Finally(func() { <-release })
			return nil
		}}, runOptions{})
		<-p.ready
		if err := p.end(); err == nil || !strings.Contains(err.Error(), "TestHangingFinallyIsTold") {
			t.Error(err)
		}
		close(release)
	})
}

// Another process has taken the svcid: this one stops, with that as its reason.
func TestReplaced(t *testing.T) {
	memory := discovery.NewMemory()
	first := launch(t, &testService{}, runOptions{memory: memory, args: []string{"-svcindex=0"}})
	first.waitReady()
	second := launch(t, &testService{}, runOptions{memory: memory, args: []string{"-svcindex=0"}})
	second.waitReady()
	if err := first.wait(); !errors.Is(err, discovery.ErrReplaced) || !strings.Contains(err.Error(), "test#0@dev") {
		t.Errorf("the first ended with %v", err)
	}
	if svc, ok := second.reg.Snapshot().Service("test#0@dev"); !ok || svc.Epoch != second.app.Self().Epoch {
		t.Error("the first has taken the second's registration along")
	}
}

// Indexes without -svcindex are given out one after the other.
func TestLowestFreeIndex(t *testing.T) {
	memory := discovery.NewMemory()
	for i := range 3 {
		p := launch(t, &testService{}, runOptions{memory: memory})
		p.waitReady()
		if p.app.Self().Index != i {
			t.Errorf("process %d is %s", i, p.app.Self().ID)
		}
	}
}

// -lifeline: the end of standard input is the end of the process; without the
// flag it is nothing.
func TestLifeline(t *testing.T) {
	r, w := io.Pipe()
	p := launch(t, &testService{}, runOptions{stdin: r, args: []string{"-lifeline"}})
	p.waitReady()
	if _, err := w.Write([]byte("still here\n")); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.done:
		t.Fatalf("ended though the other end is held: %v", p.err)
	default:
	}
	w.Close()
	if err := p.wait(); !errors.Is(err, errLifeline) {
		t.Error(err)
	}
	p = launch(t, &testService{}, runOptions{stdin: strings.NewReader("")})
	p.waitReady()
	if err := p.end(); err != nil {
		t.Error(err)
	}
}

// Ctrl-C while waiting for memsd ends at once and well; what is waited for was
// said, with why and what to do.
func TestInterruptWhileWaitingForMemsd(t *testing.T) {
	synctest.Test(t, testInterruptWhileWaitingForMemsd) // so that it is said when a connection was tried, not before
}

func testInterruptWhileWaitingForMemsd(t *testing.T) {
	const addr = "127.0.0.1:1" // nobody is there: it is no port that the system gives to anybody
	var log logBuffer
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	started := false
	go func() {
		done <- Run(ctx, "test", testServiceFlags(&testService{start: func(context.Context, *App) error { started = true; return nil }}),
			Options{Args: []string{"-flagfile=", "-httpaddr=", "-sdaddr=" + addr}, Stdout: &log, Stderr: &log})
	}()
	eventually(t, "said what it waits for", func() bool { return log.count("waiting for memsd: go run ./svc/memsd") == 1 })
	if log.count("refused") == 0 {
		t.Errorf("the log does not say why:\n%s", log.String())
	}
	cancel()
	if err := <-done; err != nil || started {
		t.Errorf("ended with %v, started: %v", err, started)
	}
}

// A guest does not wait for ever, and says why.
func TestGuestGivesUp(t *testing.T) {
	for _, c := range []struct {
		why  error
		says string
	}{
		{discovery.ErrUnavailable, "memsd at here: no answer: go run ./svc/memsd"},
		{fmt.Errorf("%w: does it want TLS?", discovery.ErrHungUp), "memsd at here: it hung up at once: does it want TLS?"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var log logBuffer
			began := time.Now()
			err := Run(t.Context(), "test", testServiceFlags(&testService{}), Options{
				Args: []string{"-flagfile=", "-httpaddr=", "-sdaddr=here"}, Stdout: &log, Stderr: &log, Guest: true, Registry: deafRegistry{why: c.why},
			})
			if err == nil || !strings.Contains(err.Error(), c.says) || time.Since(began) != guestPatience {
				t.Errorf("%v after %v", err, time.Since(began))
			}
		})
	}
}

// deafRegistry never answers, and knows why.
type deafRegistry struct {
	discovery.Registry
	why error
}

func (r deafRegistry) Connected() error { return r.why }

func (deafRegistry) Register(ctx context.Context, _ discovery.Service) (discovery.Lease, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// With -logfile the last error is there, too.
func TestErrorInLogFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "test.log")
	p := launch(t, &testService{start: func(context.Context, *App) error { return errors.New("disk is full") }},
		runOptions{args: []string{"-logfile=" + file}})
	if p.wait() == nil {
		t.Error("no error")
	}
	if b, err := os.ReadFile(file); err != nil || strings.Count(string(b), "disk is full") != 1 {
		t.Errorf("%q %v", b, err)
	}
}

// A standalone program has neither registration nor links, but all the rest.
func TestStandalone(t *testing.T) {
	p := launch(t, &testService{start: func(_ context.Context, a *App) error {
		if a.Links != nil || a.Registry != nil || a.Self().ID != "" {
			t.Error("has links or is registered")
		}
		return nil
	}}, runOptions{standalone: true})
	p.waitReady()
	if n, _ := p.reg.Snapshot().Len(); n != 0 {
		t.Error("registered")
	}
	if err := p.end(); err != nil {
		t.Error(err)
	}
}
