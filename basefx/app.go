package basefx

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/util/cellnet"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// App is the running process, as its service sees it.
type App struct {
	Name   string // of the program: "game"
	Flags  Flags
	Args   []string // behind the flags
	Log    *slog.Logger
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer

	// Registry is discovery: memsd at -sdaddr. For a standalone program it is
	// nil until it calls Discover.
	Registry discovery.Registry
	// DiscoveryTLS is how memsd is talked to if -sdca is given; else nil.
	DiscoveryTLS *tls.Config
	// Links are the links to other services; wire them in Start. Nil for a
	// standalone program.
	Links *link.Links

	metrics *prometheus.Registry
	mux     *http.ServeMux
	life    context.Context         // over when everything has drained
	stop    context.CancelCauseFunc // asks to stop
	work    sync.WaitGroup          // goroutines of Go
	running runningNames
	finally []func()

	lease discovery.Lease
	left  bool // the registry
	needs []need

	stopping atomic.Bool

	recheck chan struct{} // holds one: the needs are to be asked

	listener net.Listener      // for links; nil: none
	meta     map[string]string // announced
	waits    atomic.Pointer[string]
	owned    discovery.Registry // dialed here, closed by Run

	linkCounters cellnet.Counters
}

// errDone stops a process without an error.
var errDone = errors.New("done")

// Stop asks the process to stop: gracefully, as on Ctrl-C. err is what Run
// returns; nil is a good end. It returns at once, and only the first call
// counts.
func (a *App) Stop(err error) {
	if err == nil {
		err = errDone
	}
	a.stop(err)
}

// Stopping reports whether the process is about to end: it drains, and wants
// nothing new.
func (a *App) Stopping() bool { return a.stopping.Load() }

// Go runs f on a goroutine that the process waits for before it ends. f's
// context is done when everything has drained. An error stops the process, and
// so does a panic, in order: the registry is left, links and files are closed.
func (a *App) Go(name string, f func(ctx context.Context) error) {
	a.running.add(name)
	a.work.Go(func() {
		defer a.running.remove(name)
		defer func() {
			if v := recover(); v != nil {
				a.Log.Error("panic, stopping", "goroutine", name, "panic", v, "stack", string(debug.Stack()))
				a.Stop(fmt.Errorf("%s panicked: %v", name, v))
			}
		}()
		if err := f(a.life); err != nil && a.life.Err() == nil {
			a.Stop(fmt.Errorf("%s: %w", name, err))
		}
	})
}

// Finally adds f to what is called when all goroutines of Go have ended, links
// included; the last added is called first. For Start only.
func (a *App) Finally(f func()) { a.finally = append(a.finally, f) }

// Logger is a logger of its own name, whose level -loglevel can set.
func (a *App) Logger(name string) *slog.Logger { return a.Log.With(loggerKey, name) }

// Self is this process as registered: its svcid, epoch and state. The zero
// Service in a standalone program.
func (a *App) Self() discovery.Service {
	if a.lease == nil {
		return discovery.Service{}
	}
	return a.lease.Service()
}

// HandleHTTP adds a page to the operators' endpoint; the pattern is that of
// http.ServeMux. For Start only.
func (a *App) HandleHTTP(pattern string, h http.Handler) { a.mux.Handle(pattern, h) }

// Allows reports whether -linkrule lets this process have to do with svc.
func (a *App) Allows(svc *discovery.Service) bool { return a.Flags.rule.Allows(svc.Name, svc.Group) }

// AcceptLinks listens on -lanip for links of other services and announces the
// address. Links are accepted once Start has returned: everything about them is
// wired by then. For Start only.
func (a *App) AcceptLinks() error {
	l, err := net.Listen("tcp", net.JoinHostPort(a.Flags.LanIP, "0"))
	if err != nil {
		return fmt.Errorf("-lanip: %w", err)
	}
	a.Finally(func() { l.Close() }) // in case nobody serves it
	a.listener = l
	return nil
}

// ListenClients listens for clients where -listen says, with the given options,
// and announces the address under which they reach it. For Start only.
func (a *App) ListenClients(options net.ListenConfig) (net.Listener, error) {
	addr, err := a.Flags.clientListenAddr()
	if err != nil {
		return nil, err
	}
	l, err := options.Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("-listen: %w", err)
	}
	a.Finally(func() { l.Close() }) // in case nobody serves it
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return nil, err
	}
	a.Announce(discovery.MetaWAN, net.JoinHostPort(a.Flags.WanIP, port))
	return l, nil
}

// Announce adds to what discovery tells about this process. For Start only.
func (a *App) Announce(key, value string) { a.meta[key] = value }

// runningNames are the names of what a stop waits for, to be told when it
// hangs.
type runningNames struct {
	mu    sync.Mutex
	names map[string]int
}

func (r *runningNames) add(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.names == nil {
		r.names = map[string]int{}
	}
	r.names[name]++
}

func (r *runningNames) remove(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.names[name]--; r.names[name] == 0 {
		delete(r.names, name)
	}
}

func (r *runningNames) list() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.names))
}
