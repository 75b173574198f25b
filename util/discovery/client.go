package discovery

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/davyxu/cellmesh_demo/util/cellnet"
	"github.com/davyxu/cellmesh_demo/util/discovery/store"
	"github.com/davyxu/cellmesh_demo/util/discovery/wire"
)

// Options of a Client. The zero value is right for a memsd on the same machine.
type Options struct {
	Log    *slog.Logger // nil: nothing is logged
	Name   string       // who this is, shown by memsd to people; 256 bytes of it
	Secret string       // the cluster secret; both sides must have the same one or none
	TLS    *tls.Config  // not nil: connect with TLS

	// TTL is how long this process may be out of reach, frozen or half connected, before memsd removes its services;
	// and how long memsd may be silent before this process connects anew. 0 means 10 s. Clients send a ping every third
	// of it.
	TTL time.Duration

	// WriteOnly leaves out the state: Snapshot stays empty, at revision 0, and Wait and Watch never have anything. It
	// is for tools that only write, and do not want to fetch everything before.
	WriteOnly bool

	// DialContext connects; nil means a plain net.Dialer.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)
}

// How a client connects. The time from memsd's return to the registration of a service is at most that of a connect that
// was begun just before (its machine may have been off), and one pause: less than 2.5 s. The pauses spread a thousand
// clients over most of a second.
const (
	connectTimeout = 1300 * time.Millisecond // for TCP and TLS
	helloTimeout   = 5 * time.Second         // for what follows; a memsd that is overloaded is not helped by trying again
	firstRetry     = 50 * time.Millisecond
	longestRetry   = 700 * time.Millisecond // times 0.5 to 1.5, at random
	steady         = 5 * time.Second        // a connection that lasted so long begins with the first retry again
)

// Client is a Registry kept by a memsd. It connects by itself, and again when the connection is lost; then it registers
// its services with the indexes they have and catches up with what changed. Meanwhile the last snapshot goes on.
type Client struct {
	addr string
	opts Options
	net  cellnet.Config
	feed *store.Feed // what is shown of replica

	replica replica

	ctx  context.Context // done when the client is closed
	end  context.CancelFunc
	runs sync.WaitGroup

	mu      sync.Mutex
	up      *link         // the connection that requests may use; nil: none
	changed chan struct{} // closed when up changes
	leases  map[string]*clientLease
	lastErr error // why there is no connection
}

// Dial returns a client of the memsd at addr (host:port) at once; it connects in the background, for as long as it takes.
// It is closed by Close or when ctx is done.
func Dial(ctx context.Context, addr string, o Options) *Client {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.TTL == 0 {
		o.TTL = wire.DefaultTTL
	}
	o.TTL = min(max(o.TTL, wire.MinTTL), wire.MaxTTL)
	o.Name = strings.ToValidUTF8(o.Name[:min(len(o.Name), wire.MaxClientName)], "")
	c := &Client{
		addr: addr, opts: o,
		net:     cellnet.Config{Framing: cellnet.LinkFraming, MaxFrame: wire.MaxFrame, TLS: o.TLS, DialContext: o.DialContext},
		feed:    store.NewFeed(store.NewSnapshot(0, 0, nil, nil)),
		changed: make(chan struct{}),
		leases:  make(map[string]*clientLease),
		lastErr: errors.New("not connected yet"),
	}
	c.replica.state = c.feed.Snapshot()
	c.ctx, c.end = context.WithCancel(ctx)
	c.runs.Go(c.run)
	return c
}

// Snapshot is as Registry has it.
func (c *Client) Snapshot() *Snapshot { return c.feed.Snapshot() }

// Wait is as Registry has it.
func (c *Client) Wait(ctx context.Context, after uint64) (*Snapshot, error) {
	return c.feed.Wait(ctx, after)
}

// Watch is as Registry has it. When memsd lost its state or this process was away for too long, the next event is a
// Reset.
func (c *Client) Watch(ctx context.Context, from uint64) iter.Seq[Event] {
	return c.feed.Watch(ctx, from)
}

// Connected says whether memsd can be reached just now, and if not, why.
func (c *Client) Connected() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.up != nil {
		return nil
	}
	return fmt.Errorf("%w: memsd at %s: %w", ErrUnavailable, c.addr, c.lastErr)
}

// Apply is as Registry has it.
func (c *Client) Apply(ctx context.Context, ops ...Op) (uint64, error) {
	if err := store.CheckOps(ops); err != nil { // here already: memsd closes connections over frames that are too large
		return 0, err
	}
	reply, err := c.ask(ctx, wire.Request{Do: wire.DoApply, Ops: ops})
	if err != nil {
		return 0, err
	}
	c.reach(ctx, reply.Revision)
	return reply.Revision, nil
}

// Status asks memsd how it is.
func (c *Client) Status(ctx context.Context) (wire.Status, error) {
	reply, err := c.ask(ctx, wire.Request{Do: wire.DoStatus})
	if err != nil {
		return wire.Status{}, err
	}
	if reply.Status == nil {
		return wire.Status{}, fmt.Errorf("memsd at %s: %w: status without content", c.addr, wire.ErrBadMessage)
	}
	return *reply.Status, nil
}

// ForgetServices makes memsd forget all services. Those that live register again by themselves, at once.
func (c *Client) ForgetServices(ctx context.Context) error {
	reply, err := c.ask(ctx, wire.Request{Do: wire.DoForget})
	if err == nil {
		c.reach(ctx, reply.Revision)
	}
	return err
}

// Close is as Registry has it: memsd removes this process's services at once, if it can be reached.
func (c *Client) Close() error {
	c.end()
	c.runs.Wait()
	return nil
}

// reach waits until the snapshot has come to a revision that memsd has answered, so that a process sees what it did.
// It gives up with ctx: what was answered is done, seen or not.
func (c *Client) reach(ctx context.Context, revision uint64) {
	if revision > 0 && !c.opts.WriteOnly {
		_, _ = c.feed.Wait(ctx, revision-1)
	}
}

// ask sends a request as soon as there is a connection and returns the answer. It does not send twice.
func (c *Client) ask(ctx context.Context, req wire.Request) (wire.Reply, error) {
	for {
		l, err := c.waitUp(ctx)
		if err != nil {
			return wire.Reply{}, err
		}
		reply, err := l.call(ctx, req)
		if errors.Is(err, errNotSent) && !l.alive() {
			continue // the connection went in this moment
		}
		return reply, c.explain(err)
	}
}

// explain adds whom an error is about, unless memsd itself has said it.
func (c *Client) explain(err error) error {
	if errors.Is(err, ErrInDoubt) {
		return fmt.Errorf("memsd at %s: %w", c.addr, err)
	}
	return err
}

// waitUp returns the connection as soon as there is one.
func (c *Client) waitUp(ctx context.Context) (*link, error) {
	for {
		c.mu.Lock()
		up, changed, lastErr := c.up, c.changed, c.lastErr
		c.mu.Unlock()
		switch {
		case c.ctx.Err() != nil:
			return nil, ErrClosed
		case up != nil && up.alive():
			return up, nil
		}
		select {
		case <-changed: // also when up is there but has just ended
		case <-c.ctx.Done():
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: memsd at %s (%v): %w", ErrUnavailable, c.addr, lastErr, ctx.Err())
		}
	}
}

func (c *Client) setUp(l *link, why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.up, c.lastErr = l, why
	close(c.changed)
	c.changed = make(chan struct{})
}

// run keeps a connection until the client is closed.
func (c *Client) run() {
	defer func() {
		c.feed.Close()
		for _, l := range c.held() {
			l.finish(nil)
		}
	}()
	pause := backoff.ExponentialBackOff{
		InitialInterval: firstRetry, MaxInterval: longestRetry, Multiplier: 2, RandomizationFactor: 0.5,
	}
	told, toldRefused := false, false // about being without memsd
	for c.ctx.Err() == nil {
		began := time.Now()
		wasUp, err := c.connect()
		if c.ctx.Err() != nil {
			return
		}
		if wasUp && time.Since(began) > steady {
			pause.Reset() // else it is one of those that end as soon as they begin
		}
		if wasUp {
			told = false
		}
		if refused := errors.Is(err, ErrRefused); !told || refused != toldRefused {
			told, toldRefused = true, refused
			level := slog.LevelWarn
			if c.Snapshot().Revision() == 0 && !refused {
				level = slog.LevelDebug // never was there: whoever waits for it says so
			}
			c.opts.Log.Log(c.ctx, level, "no connection to memsd; going on with what is known and trying again", "addr", c.addr, "reason", err)
		}
		wait := time.NewTimer(pause.NextBackOff())
		select {
		case <-wait.C:
		case <-c.ctx.Done():
			wait.Stop()
		}
	}
}

// connect makes one connection and stays with it until it ends. wasUp: it came as far as to be used.
func (c *Client) connect() (wasUp bool, err error) {
	scheme := "tcp://"
	if c.opts.TLS != nil {
		scheme = "tls://"
	}
	dialing, cancel := context.WithTimeout(c.ctx, connectTimeout)
	session, err := cellnet.Dial(dialing, scheme+c.addr, &c.net)
	cancel()
	if err != nil {
		err = explainTLS(err)
		c.setUp(nil, err)
		return false, err
	}
	l := newLink(c, session)
	var runs sync.WaitGroup
	runs.Go(func() { _ = session.Run(context.WithoutCancel(c.ctx), l) })
	runs.Go(func() {
		select {
		case <-c.ctx.Done():
			l.bye()
		case <-l.done:
		}
	})
	err = c.use(l, &runs)
	wasUp = err == nil
	if err != nil {
		session.Abort(err)
	}
	<-l.done
	if err == nil || errors.Is(err, ErrInDoubt) || errors.Is(err, errNotSent) {
		err = l.reason // that is why there was no answer
	}
	if !wasUp && !l.answered && c.opts.TLS == nil && hungUp(err) {
		err = fmt.Errorf("%w: does it want TLS (then start this process with -sdca), or is it no memsd? %w", ErrHungUp, err)
	}
	c.setUp(nil, err)
	runs.Wait()
	return wasUp, err
}

// hungUp says whether the other side has ended the connection.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// explainTLS says what to do about a handshake that fails.
func explainTLS(err error) error {
	var unverified *tls.CertificateVerificationError
	switch {
	case errors.As(err, &unverified):
		return fmt.Errorf("%w: memsd's certificate is not what -sdca trusts: %w", ErrRefused, unverified.Err)
	case errors.Is(err, cellnet.ErrHandshake) && hungUp(err):
		return fmt.Errorf("%w: this process has -sdca and wants TLS, does memsd (then start it with -sdcert and -sdkey)? %w", ErrHungUp, err)
	}
	return err
}

// use brings a new connection to where requests can be made, and returns; the rest runs in runs until the connection ends.
func (c *Client) use(l *link, runs *sync.WaitGroup) error {
	starting, cancel := context.WithTimeout(l.ctx, helloTimeout)
	defer cancel()
	welcome, err := l.handshake(starting)
	if err != nil {
		return err
	}
	runs.Go(l.heartbeat)
	if err := c.registerAgain(l); err != nil {
		return err
	}
	c.opts.Log.Info("connected to memsd", "addr", c.addr)
	c.setUp(l, nil)
	runs.Go(func() {
		for { // at first for what was changed during the round before, then for whoever could not wait
			if err := c.registerAgain(l); err != nil {
				l.session.Abort(err)
			}
			select {
			case <-l.again:
			case <-l.done:
				return
			}
		}
	})
	if c.opts.WriteOnly {
		return nil
	}
	runs.Go(func() {
		if err := c.follow(l, welcome); err != nil {
			l.session.Abort(err)
		}
	})
	return nil
}

// registerAgain brings all leases to l. A lease that another process has taken meanwhile is lost and told so.
func (c *Client) registerAgain(l *link) error {
	for _, lease := range c.held() {
		_, err := lease.push(l.ctx, l)
		if err != nil && !errors.Is(err, ErrReplaced) && !errors.Is(err, ErrClosed) { // those two are over
			return fmt.Errorf("register %s again: %w", lease.Service().ID, err)
		}
	}
	return nil
}

// held returns the leases that this process has been given.
func (c *Client) held() []*clientLease {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Collect(maps.Values(c.leases)), func(l *clientLease) bool { return !l.adopted })
}
