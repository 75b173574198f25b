package basefx

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"reflect"
	"runtime"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"github.com/davyxu/cellmesh_demo/util/certfile"
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
	// Drain returns when all is finished, or when ctx is done, which is after
	// 10 seconds.
	Drain(ctx context.Context) error
}

// Options are what [Run] takes from its caller rather than from flags.
type Options struct {
	Args           []string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Registry       discovery.Registry // instead of memsd at -sdaddr
	Standalone     bool               // no service of the cluster: not registered, no links
	Guest          bool               // part of the cluster for a moment: gives up if memsd does not answer
	Arguments      bool               // takes arguments behind its flags
	Ready          func(*App)         // called once when ready
}

// Standalone makes a program that is no service of the cluster, such as memsd
// and the client.
func Standalone(o *Options) { o.Standalone = true }

// Guest makes a program that is part of the cluster for a moment, such as a
// tool: it is registered, and gives up if memsd does not answer within 5 seconds.
func Guest(o *Options) { o.Guest = true }

// Arguments lets a program take arguments behind its flags: App.Args.
func Arguments(o *Options) { o.Arguments = true }

// stopSignal is the cause of a stop that a signal has asked for.
type stopSignal struct{ os.Signal }

func (s stopSignal) Error() string { return s.Signal.String() }

// gcFloor is how much garbage a process may make before it is collected, however
// little it holds. A game's handlers make some for every message while players
// take little: without a floor the collector would run a hundred times a second.
const gcFloor = 32 << 20

// Main is the main of a program. new makes the service and adds its own flags
// to fs. It does not return: the process exits with 0 after a good end, with 1
// after an error, which is on standard error, and with 130 at once when it is
// interrupted a second time.
func Main(name string, new func(fs *flag.FlagSet) Service, opts ...func(*Options)) {
	o := Options{Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	for _, opt := range opts {
		opt(&o)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() { // lives as long as the process
		cancel(stopSignal{<-signals})
		<-signals
		os.Exit(130)
	}()
	floor := make([]byte, gcFloor) // counts for the collector; never touched, so the system gives no memory for it
	err := Run(ctx, name, new, o)
	runtime.KeepAlive(floor)
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
	a := &App{Name: name, Stdin: o.Stdin, Stdout: o.Stdout, Stderr: o.Stderr, meta: map[string]string{}, metrics: newMetrics(), mux: http.NewServeMux(), recheck: make(chan struct{}, 1)}
	svc, err := a.configure(new, o)
	if err != nil {
		return err
	}
	log, logFile, err := newLogger(&a.Flags, o.Stderr)
	if err != nil {
		return err
	}
	a.Log = log
	if a.Flags.SDCA != "" {
		host, _, _ := net.SplitHostPort(a.Flags.SDAddr) // a bad address is told by who connects
		if a.DiscoveryTLS, err = certfile.Client(a.Flags.SDCA, host, a.Logger("tls")); err != nil {
			return fmt.Errorf("-sdca: %w", err)
		}
	}
	defer func() {
		if err != nil && a.Flags.LogFile != "" { // the caller tells it on standard error
			log.Error("ended", "err", err)
		}
		logFile.Close()
	}()

	ctx, a.stop = context.WithCancelCause(ctx)
	defer a.stop(nil)
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	a.life = life
	if a.Flags.Lifeline && o.Stdin != nil {
		go a.holdLifeline(o.Stdin)
	}
	a.setWaits("starting")
	httpAddr, stopHTTP, err := a.serveHTTP()
	if err != nil {
		end()
		return err
	}
	defer stopHTTP()

	defer func() { // whatever happened below, nothing of it stays
		end()
		err = also(err, a.waitAll())
		if a.owned != nil {
			a.owned.Close()
		}
	}()
	if !o.Standalone {
		a.Registry = o.Registry
		if err := a.join(ctx, httpAddr, o.Guest); err != nil {
			return a.cause(ctx, err)
		}
	}
	defer a.leave()
	if err := svc.Start(life, a); err != nil {
		return err
	}
	err = a.serve(ctx, o)
	a.stopping.Store(true)
	a.setWaits("stopping")
	if !o.Standalone {
		log.Info("stopping", "reason", cmp.Or(context.Cause(ctx), err))
	}
	a.leave()
	return also(a.cause(ctx, err), a.drain(svc))
}

// serve lasts from the end of Start to the wish to stop, or an error before the
// process was ready.
func (a *App) serve(ctx context.Context, o Options) error {
	if !o.Standalone {
		if err := a.becomeReady(ctx); err != nil {
			return err
		}
	}
	a.waits.Store(nil)
	if o.Ready != nil {
		o.Ready(a)
	}
	<-ctx.Done()
	return ctx.Err()
}

// also is err, and what failed after it.
func also(err, after error) error {
	if err != nil && after != nil {
		return fmt.Errorf("%w; then %w", err, after)
	}
	return cmp.Or(err, after)
}

// configure makes the service and fills in all flags.
func (a *App) configure(new func(fs *flag.FlagSet) Service, o Options) (Service, error) {
	fs := flag.NewFlagSet(a.Name, flag.ContinueOnError)
	fs.SetOutput(io.Discard) // errors are ours to tell
	a.Flags.register(fs)
	svc := new(fs)
	if err := parseFlags(fs, a.Name, o.Args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fs.SetOutput(o.Stdout)
			fmt.Fprintf(o.Stdout, "Flags of %s; each can also come from the environment (-sdaddr as %s_SDADDR), or from -flagfile:\n", a.Name, envPrefix)
			fs.PrintDefaults()
		}
		return nil, err
	}
	if a.Args = fs.Args(); len(a.Args) > 0 && !o.Arguments {
		return nil, fmt.Errorf("%q is not a flag: write flags as -name=value (see -h)", a.Args[0])
	}
	return svc, a.Flags.check()
}

// cause is the error that Run returns for a stop: none for one that was asked
// for.
func (a *App) cause(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	c := context.Cause(ctx)
	var s stopSignal
	if errors.Is(c, errDone) || errors.Is(c, context.Canceled) || errors.As(c, &s) {
		return nil
	}
	return c
}

func (a *App) setWaits(text string) { a.waits.Store(&text) }

func (a *App) drain(svc Service) error {
	d, ok := svc.(Drainer)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(a.life, drainTimeout)
	defer cancel()
	if err := d.Drain(ctx); err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	return nil
}

// waitAll waits for the goroutines of Go, then calls what Finally was given, the
// last first; for a while.
func (a *App) waitAll() error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.work.Wait()
		for _, f := range slices.Backward(a.finally) {
			name := runtime.FuncForPC(reflect.ValueOf(f).Pointer()).Name()
			a.running.add(name)
			f()
			a.running.remove(name)
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
