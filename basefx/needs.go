package basefx

import (
	"context"
	"maps"
	"time"

	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// patience is how long a need may stay unmet before anybody is told: most are
// met in a moment.
const patience = 500 * time.Millisecond

// waitForNeeds returns when every need is met. What is missing is logged once,
// and shown by viewsvc and /readyz.
func (a *App) waitForNeeds(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	changed := a.changes(ctx)
	said := map[string]string{}
	impatient := time.NewTimer(patience)
	defer impatient.Stop()
	late := false
	for _, n := range a.needs {
		for {
			why := n.why(a.Registry.Snapshot())
			if why == "" {
				break
			}
			if late && said[n.what] != why {
				said[n.what] = why
				if err := a.say(ctx, n.what, why); err != nil {
					return err
				}
			}
			select {
			case <-changed:
			case <-impatient.C:
				late = true
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
	return nil
}

func (a *App) say(ctx context.Context, what, why string) error {
	a.Log.Info("waiting for "+what, "why", why)
	text := "waiting for " + what + ": " + why
	a.waits.Store(&text)
	return a.lease.Update(ctx, func(s *discovery.Service) {
		s.Meta = maps.Clone(s.Meta)
		s.Meta[discovery.MetaWaits] = text
	})
}

// changes signals, coalesced, whenever discovery or the links have changed.
func (a *App) changes(ctx context.Context) <-chan struct{} {
	c := make(chan struct{}, 1)
	signal := func() {
		select {
		case c <- struct{}{}:
		default:
		}
	}
	a.Go("watch discovery", func(context.Context) error {
		for rev := uint64(0); ; signal() {
			snap, err := a.Registry.Wait(ctx, rev)
			if err != nil {
				return nil // ctx is done, or the registry closed
			}
			rev = snap.Revision()
		}
	})
	a.Go("watch links", func(context.Context) error {
		for {
			changed := a.Links.Changed()
			signal()
			select {
			case <-changed:
			case <-ctx.Done():
				return nil
			}
		}
	})
	return c
}
