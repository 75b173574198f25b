package link

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5" // the usual exponential backoff with jitter, no dependencies

	"github.com/davyxu/cellmesh_demo/util/cellnet"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// How long a dial loop waits between dials: firstRetry, growing by half to
// longestRetry, each with jitter. A link that stood for longestRetry begins
// anew.
const (
	firstRetry   = 50 * time.Millisecond
	longestRetry = 3 * time.Second
)

// Run dials, and notices peers that are silent, until ctx is done; then it
// closes every link, flushed, and waits for those it dialed.
func (ls *Links) Run(ctx context.Context) {
	ctx, cancel := stopping(ctx)
	defer cancel()
	var owned sync.WaitGroup
	defer owned.Wait()
	moved := make(chan struct{}, 1) // discovery has changed
	owned.Go(func() { ls.follow(ctx, moved) })
	owned.Go(func() { ls.pulse(ctx) })
	for ctx.Err() == nil {
		changed := ls.Changed()
		ls.reconcile(ctx, &owned)
		select {
		case <-changed:
		case <-moved:
		case <-ctx.Done():
		}
	}
	for _, l := range ls.All() {
		l.session.Close(ErrStopping)
	}
}

// follow signals, coalesced, that discovery has changed.
func (ls *Links) follow(ctx context.Context, moved chan<- struct{}) {
	snap, err := ls.cfg.Registry.Wait(ctx, 0)
	for err == nil { // it ends with ctx, or with the registry
		select {
		case moved <- struct{}{}:
		default:
		}
		snap, err = ls.cfg.Registry.Wait(ctx, snap.Revision())
	}
}

// reconcile starts a dial loop for every service that should have one. Loops
// end by themselves.
func (ls *Links) reconcile(ctx context.Context, loops *sync.WaitGroup) {
	self := ls.cfg.Self().ID
	ls.mu.Lock()
	defer ls.mu.Unlock()
	snap := ls.cfg.Registry.Snapshot()
	for _, name := range ls.names {
		for svc := range snap.Services(name) {
			k := dialKey{svc.ID, svc.Addr}
			if _, runs := ls.dialing[k]; runs || svc.Addr == "" || svc.ID == self || !ls.cfg.Rule.Allows(svc.Name, svc.Group) || ls.linked(svc) {
				continue
			}
			ls.dialing[k] = ""
			loops.Go(func() { ls.dialLoop(ctx, k) })
		}
	}
}

// linked reports whether there is a link to svc already, whoever dialed it.
func (ls *Links) linked(svc *discovery.Service) bool {
	l := ls.Get(svc.ID)
	return l != nil && l.Epoch >= svc.Epoch
}

// dialLoop keeps a link to one address for as long as discovery shows that
// service there.
func (ls *Links) dialLoop(ctx context.Context, k dialKey) {
	pause := backoff.ExponentialBackOff{
		InitialInterval: firstRetry, MaxInterval: longestRetry, Multiplier: 1.5, RandomizationFactor: 0.5,
	}
	pause.Reset()
	for {
		began := time.Now()
		stood, err := ls.dialOnce(ctx, k)
		if ctx.Err() != nil {
			return
		}
		if stood && time.Since(began) > longestRetry {
			pause.Reset()
		}
		if ls.dialEnds(k, err) {
			return
		}
		select {
		case <-time.After(pause.NextBackOff()):
		case <-ctx.Done():
			return
		}
	}
}

// dialEnds notes why the last dial failed, or ends the loop if discovery no
// longer shows the service at that address, or the service has dialed us. This
// happens under mu, and so do reconcile and the end of a link: whatever comes
// later finds either a loop that goes on or none.
func (ls *Links) dialEnds(k dialKey, err error) bool {
	err = inWords(err)
	ls.mu.Lock()
	svc, ok := ls.cfg.Registry.Snapshot().Service(k.id)
	if !ok || svc.Addr != k.addr || ls.linked(svc) {
		delete(ls.dialing, k)
		ls.mu.Unlock()
		return true
	}
	why := k.id + " at " + k.addr + ": " + err.Error()
	news := ls.dialing[k] != why
	ls.dialing[k] = why
	ls.mu.Unlock()
	var r *refusal
	switch {
	case !news:
	case errors.As(err, &r) && r.lasting:
		ls.cfg.Log.Warn("no link, trying on", "peer", k.id, "addr", k.addr, "reason", err)
	default:
		ls.cfg.Log.Debug("no link, trying on", "peer", k.id, "addr", k.addr, "reason", err)
	}
	return false
}

// dialOnce makes one link and serves it until it ends; stood tells whether it
// was ever established.
func (ls *Links) dialOnce(ctx context.Context, k dialKey) (stood bool, err error) {
	conn, err := ls.cfg.Dial(ctx, k.addr)
	if err != nil {
		return false, err
	}
	s := cellnet.NewSession(conn, &ls.session)
	h := newDialing(ls, s, k)
	err = s.Run(ctx, h)
	return h.link != nil, err
}
