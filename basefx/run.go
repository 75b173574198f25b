package basefx

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// How long a stop may take, step by step.
const (
	leaveTimeout = 2 * time.Second
	drainTimeout = 10 * time.Second
	closeTimeout = 10 * time.Second
)

// Service is one program of the cluster.
type Service interface {
	// Start wires the service: handlers, links, listeners, goroutines (App.Go).
	// It returns when all is wired, without waiting for others. ctx is done
	// when the process has drained.
	Start(ctx context.Context, app *App) error
}

// Drainer is a service that has something to finish once no new work comes to
// it: the registry no longer shows it, its links and clients are still there.
type Drainer interface {
	Drain(ctx context.Context) error
}

// Options are what [Run] takes from its caller rather than from flags.
type Options struct {
	Args           []string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Registry       discovery.Registry // instead of memsd at -sdaddr
	Standalone     bool               // no service of the cluster: not registered, no links
	Arguments      bool               // takes arguments behind its flags
	Ready          func(*App)         // called once when ready
}

// Standalone makes a program that is no service of the cluster, such as memsd
// and the client.
func Standalone(o *Options) { o.Standalone = true }

// Arguments lets a program take arguments behind its flags: App.Args.
func Arguments(o *Options) { o.Arguments = true }

// Main is the main of a program. new makes the service and adds its own flags
// to fs. It does not return.
func Main(name string, new func(fs *flag.FlagSet) Service, opts ...func(*Options)) {
	o := Options{Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	for _, opt := range opts {
		opt(&o)
	}
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() { // lives as long as the process
		<-signals
		cancel()
		<-signals
		os.Exit(130)
	}()
	err := Run(ctx, name, new, o)
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(0)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Run is one process from flags to drain. It returns when ctx is done, the
// service has called Stop, or something failed, and nothing of it is left.
func Run(ctx context.Context, name string, new func(fs *flag.FlagSet) Service, o Options) (err error) {
	a := &App{Name: name, Stdin: o.Stdin, Stdout: o.Stdout, Stderr: o.Stderr, meta: map[string]string{}, metrics: newMetrics(), mux: http.NewServeMux()}
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(o.Stderr)
	a.Flags.register(fs)
	svc := new(fs)
	if err := parseFlags(fs, name, o.Args); err != nil {
		return err
	}
	if a.Args = fs.Args(); len(a.Args) > 0 && !o.Arguments {
		return fmt.Errorf("%q is not a flag: write flags as -name=value (see -h)", a.Args[0])
	}
	if err := a.Flags.check(); err != nil {
		return err
	}
	if a.rule, err = link.ParseRule(a.Flags.LinkRule, a.Flags.SvcGroup); err != nil {
		return fmt.Errorf("-linkrule: %w", err)
	}
	log, logFile, err := newLogger(&a.Flags, o.Stderr)
	if err != nil {
		return err
	}
	defer logFile.Close()
	a.Log = log

	ctx, a.stop = context.WithCancelCause(ctx)
	defer a.stop(nil)
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	a.life = life
	if a.Flags.Lifeline {
		go a.holdLifeline(o.Stdin)
	}
	starting := "starting"
	a.waits.Store(&starting)
	httpAddr, stopHTTP, err := a.serveHTTP()
	if err != nil {
		return err
	}
	defer stopHTTP()

	defer func() { // whatever happened below, nothing of it stays
		end()
		if werr := a.waitAll(); err == nil {
			err = werr
		}
		if a.owned != nil {
			a.owned.Close()
		}
	}()
	if !o.Standalone {
		a.Registry = o.Registry
		if err := a.join(ctx, httpAddr); err != nil {
			return a.cause(ctx, err)
		}
	}
	if err := svc.Start(life, a); err != nil {
		a.leave()
		return err
	}
	if !o.Standalone {
		if err := a.becomeReady(ctx); err != nil {
			a.leave()
			return a.cause(ctx, err)
		}
	}
	a.waits.Store(nil)
	if o.Ready != nil {
		o.Ready(a)
	}

	<-ctx.Done()
	err = a.cause(ctx, ctx.Err())
	if !o.Standalone {
		a.Log.Info("stopping", "reason", context.Cause(ctx))
	}
	stopping := "stopping"
	a.waits.Store(&stopping)
	a.leave()
	if d, ok := svc.(Drainer); ok {
		dctx, cancel := context.WithTimeout(life, drainTimeout)
		defer cancel()
		if derr := d.Drain(dctx); derr != nil && err == nil {
			err = fmt.Errorf("drain: %w", derr)
		}
	}
	return err
}

// cause is the error that Run returns for a stop: none for one that was asked
// for.
func (a *App) cause(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	if c := context.Cause(ctx); !errors.Is(c, errDone) && !errors.Is(c, context.Canceled) {
		return c
	}
	return nil
}

// Discover connects to memsd. A service of the cluster is connected already;
// a standalone program that wants discovery calls it in Start.
func (a *App) Discover() discovery.Registry {
	if a.Registry == nil {
		a.owned = discovery.Dial(a.life, a.Flags.SDAddr, discovery.Options{Log: a.Logger("discovery"), Name: a.Name, Secret: a.Flags.Secret})
		a.Registry = a.owned
	}
	return a.Registry
}

// join registers this process, so that it has a name; it is not ready yet.
func (a *App) join(ctx context.Context, httpAddr string) error {
	reg := a.Discover()
	late := time.AfterFunc(time.Second, func() {
		a.Log.Info("waiting for memsd: go run ./svc/memsd", "addr", a.Flags.SDAddr)
	})
	defer late.Stop()
	meta := map[string]string{discovery.MetaPID: strconv.Itoa(os.Getpid()), discovery.MetaVersion: Version()}
	if httpAddr != "" {
		meta[discovery.MetaHTTP] = httpAddr
	}
	lease, err := reg.Register(ctx, discovery.Service{
		Name: a.Name, Index: a.Flags.SvcIndex, Group: a.Flags.SvcGroup, State: discovery.Starting, Meta: meta,
	})
	if err != nil {
		return fmt.Errorf("register with memsd at %s: %w", a.Flags.SDAddr, err)
	}
	a.lease = lease
	a.Log = a.Log.With("svc", a.Self().ID)
	a.Go("lease", func(ctx context.Context) error {
		select {
		case err := <-lease.Lost():
			return err
		case <-ctx.Done():
			return nil
		}
	})
	a.Links = link.New(link.Config{
		Self: a.Self, Registry: reg, Rule: a.rule, Secret: a.Flags.Secret, Log: a.Logger("link"), Counters: &a.linkCounters,
	})
	a.SessionMetrics("link", &a.linkCounters)
	return nil
}

// becomeReady announces where this process is, links to others, waits for what
// it needs and says that it is ready.
func (a *App) becomeReady(ctx context.Context) error {
	err := a.lease.Update(ctx, func(s *discovery.Service) {
		s.Addr = a.addr
		s.Meta = maps.Clone(s.Meta)
		maps.Copy(s.Meta, a.meta)
	})
	if err != nil {
		return fmt.Errorf("announce: %w", err)
	}
	a.Go("dial", func(ctx context.Context) error { a.Links.Run(ctx); return nil })
	if err := a.waitForNeeds(ctx); err != nil {
		return err
	}
	err = a.lease.Update(ctx, func(s *discovery.Service) {
		s.State = discovery.Ready
		s.Meta = maps.Clone(s.Meta)
		delete(s.Meta, discovery.MetaWaits)
	})
	if err != nil {
		return fmt.Errorf("announce: %w", err)
	}
	self := a.Self()
	args := []any{"epoch", self.Epoch}
	for _, at := range [...]struct{ key, addr string }{{"links", self.Addr}, {"clients", self.Meta[discovery.MetaWAN]}, {"http", self.Meta[discovery.MetaHTTP]}} {
		if at.addr != "" {
			args = append(args, at.key, at.addr)
		}
	}
	a.Log.Info("ready", args...)
	return nil
}

// leave takes this process out of the registry, so that nobody sends it more.
func (a *App) leave() {
	if a.lease == nil {
		return
	}
	ctx, cancel := context.WithTimeout(a.life, leaveTimeout)
	defer cancel()
	if err := a.lease.Close(ctx); err != nil {
		a.Log.Warn("did not leave the registry; the lease will run out", "err", err)
	}
}

// waitAll waits for the goroutines of Go, for a while.
func (a *App) waitAll() error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.work.Wait()
		for _, f := range a.finally {
			f()
		}
	}()
	select {
	case <-done:
		return nil
	case <-time.After(closeTimeout):
		return fmt.Errorf("did not stop within %v, still running: %v", closeTimeout, a.running.list())
	}
}

// holdLifeline stops the process when its standard input ends. It is left
// behind when the process stops for another reason: a read cannot be called
// off.
func (a *App) holdLifeline(stdin io.Reader) {
	io.Copy(io.Discard, stdin)
	a.Stop(errLifeline)
}

// Version is the revision this program was built from, as far as it knows.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return s.Value[:12]
		}
	}
	return info.Main.Version
}
