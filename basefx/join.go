package basefx

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"strconv"
	"time"

	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// Discover connects to memsd. A service of the cluster is connected already;
// a standalone program that wants discovery calls it in Start.
func (a *App) Discover() discovery.Registry {
	if a.Registry == nil {
		a.owned = discovery.Dial(a.life, a.Flags.SDAddr, discovery.Options{
			Log: a.Logger("discovery"), Name: a.Name, Secret: a.Flags.Secret, TLS: a.DiscoveryTLS,
		})
		a.Registry = a.owned
	}
	return a.Registry
}

// connected is why memsd cannot be reached; nil if it can, or reg is not by it.
func connected(reg discovery.Registry) error {
	if c, ok := reg.(interface{ Connected() error }); ok {
		return c.Connected()
	}
	return nil
}

// Unwelcome is why somebody who is there at -sdaddr does not let us in, and what
// to do about it; nil if nobody is there, or all is well.
func (a *App) Unwelcome() error {
	why := connected(a.Discover())
	if errors.Is(why, discovery.ErrRefused) || errors.Is(why, discovery.ErrHungUp) {
		return why
	}
	return nil
}

// guestPatience is how long a guest waits for memsd.
const guestPatience = 5 * time.Second

// join registers this process, so that it has a name; it is not ready yet.
func (a *App) join(ctx context.Context, httpAddr string, guest bool) error {
	if guest {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, guestPatience, errors.New("no answer: go run ./svc/memsd"))
		defer cancel()
	}
	reg, log := a.Discover(), a.Log
	a.setWaits("waiting for memsd at " + a.Flags.SDAddr)
	late := time.AfterFunc(patience, func() {
		what, args := "waiting for memsd: go run ./svc/memsd", []any{"addr", a.Flags.SDAddr}
		if why := connected(reg); why != nil {
			args = append(args, "why", why)
		}
		if a.Unwelcome() != nil {
			what = "waiting for memsd, which does not let us in"
		}
		log.Info(what, args...)
	})
	defer late.Stop()
	meta := map[string]string{discovery.MetaPID: strconv.Itoa(os.Getpid()), discovery.MetaVersion: Version()}
	if httpAddr != "" {
		meta[discovery.MetaHTTP] = httpAddr
	}
	lease, err := reg.Register(ctx, discovery.Service{
		Name: a.Name, Index: a.Flags.SvcIndex, Group: a.Flags.SvcGroup, State: discovery.Starting, Meta: meta,
	})
	if guest && ctx.Err() != nil {
		if err = a.Unwelcome(); err == nil {
			err = context.Cause(ctx)
		}
	}
	if err != nil {
		return fmt.Errorf("register with memsd at %s: %w", a.Flags.SDAddr, err)
	}
	a.setWaits("starting")
	a.lease = lease
	a.Log = log.With("svc", a.Self().ID)
	a.Go("lease", func(ctx context.Context) error {
		select {
		case err := <-lease.Lost(): // nil when we have left
			return err
		case <-ctx.Done():
			return nil
		}
	})
	a.Links = link.New(link.Config{
		Self: a.Self, Registry: reg, Rule: a.Flags.rule, Secret: a.Flags.Secret, Log: a.Logger("link"), Counters: &a.linkCounters,
	})
	a.SessionMetrics("link", &a.linkCounters)
	return nil
}

// becomeReady links to others, announces where this process is, waits for what
// it needs and says that it is ready.
func (a *App) becomeReady(ctx context.Context) error {
	a.Go("dial", func(ctx context.Context) error { a.Links.Run(ctx); return nil })
	addr := ""
	if a.listener != nil {
		addr = a.listener.Addr().String()
		a.Go("links", func(ctx context.Context) error { return a.Links.Serve(ctx, a.listener) })
	}
	err := a.lease.Update(ctx, func(s *discovery.Service) {
		s.Addr = addr
		s.Meta = maps.Clone(s.Meta)
		maps.Copy(s.Meta, a.meta)
	})
	if err != nil {
		return fmt.Errorf("announce: %w", err)
	}
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
	if a.lease == nil || a.left {
		return
	}
	a.left = true
	ctx, cancel := context.WithTimeout(a.life, leaveTimeout)
	defer cancel()
	if err := a.lease.Close(ctx); err != nil {
		a.Log.Warn("did not leave the registry; the lease will run out", "err", err)
	}
}
