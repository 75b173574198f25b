package basefx

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// patience is how long a need may stay unmet before anybody is told: most are
// met in a moment. Needs are asked again as often, too, as they may depend on
// something that nothing here can watch.
const patience = 500 * time.Millisecond

// maxWaits bounds what discovery is told about the waiting, in bytes.
const maxWaits = 1 << 10

type need struct {
	what string
	why  func(*discovery.Snapshot) string
}

// Need holds the process back from being ready until why returns "". Before
// that, why says what is missing and what to do, in words for the operator: it
// is logged once for each different answer, and shown by memsd's viewsvc. It is
// asked again whenever discovery or the links change, on Recheck, and twice a
// second. For Start only.
func (a *App) Need(what string, why func(*discovery.Snapshot) string) {
	a.needs = append(a.needs, need{what, why})
}

// Recheck asks the needs again now, because what one depends on has changed.
// Any goroutine may call it.
func (a *App) Recheck() {
	select {
	case a.recheck <- struct{}{}:
	default: // about to be asked anyway
	}
}

// NeedLink dials the named service and needs at least one link to it. For
// Start only.
func (a *App) NeedLink(service string) {
	a.Links.Dial(service)
	a.Need(service, func(snap *discovery.Snapshot) string {
		if len(a.Links.Named(service)) > 0 {
			return ""
		}
		if trouble := a.Links.Trouble(service); trouble != "" {
			return "cannot link to " + service + ": " + trouble
		}
		return a.missing(snap, service, func(svc *discovery.Service) string {
			if svc.Addr == "" {
				return svc.ID + " is not ready yet"
			}
			return "linking to " + svc.ID
		})
	})
}

// NeedService needs at least one ready instance of the named service that the
// link rule allows, without linking to it. For Start only.
func (a *App) NeedService(service string) {
	a.Need(service, func(snap *discovery.Snapshot) string {
		return a.missing(snap, service, func(svc *discovery.Service) string {
			if svc.State == discovery.Ready {
				return ""
			}
			return svc.ID + " is not ready yet"
		})
	})
}

// missing is what still says about the instance of service that is nearest to
// doing; if there is none, what to do about that.
func (a *App) missing(snap *discovery.Snapshot, service string, still func(*discovery.Service) string) string {
	allowed, forbidden := "", ""
	for svc := range snap.Services(service) {
		switch {
		case !a.Allows(svc):
			forbidden = svc.ID
		case still(svc) == "":
			return ""
		default:
			allowed = still(svc)
		}
	}
	switch {
	case allowed != "":
		return allowed
	case forbidden != "":
		return fmt.Sprintf("no %s that -linkrule allows; there is %s", service, forbidden)
	}
	return fmt.Sprintf("no %s is running: go run ./svc/%s", service, service)
}

// waitForNeeds returns when every need is met at once. What is missing is
// logged once, and shown by viewsvc and /readyz.
func (a *App) waitForNeeds(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	changed := a.changes(ctx)
	said := map[string]bool{}
	again := time.NewTicker(patience)
	defer again.Stop()
	late := false
	for {
		what, why := a.unmet()
		if what == "" {
			return nil
		}
		text := "waiting for " + what + ": " + why
		a.waits.Store(&text)
		if late && !said[text] {
			said[text] = true
			a.Log.Info("waiting for "+what, "why", why)
			a.announceWaits(ctx, text)
		}
		select {
		case <-changed:
		case <-a.recheck:
		case <-again.C:
			late = true
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// unmet is the first need that is not met, and why.
func (a *App) unmet() (what, why string) {
	for _, n := range a.needs {
		if why := n.why(a.Registry.Snapshot()); why != "" {
			return n.what, why
		}
	}
	return "", ""
}

// announceWaits tells discovery what this process waits for. Nothing depends on
// it: if memsd is away it is told later.
func (a *App) announceWaits(ctx context.Context, text string) {
	if len(text) > maxWaits {
		text = strings.ToValidUTF8(text[:maxWaits], "")
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := a.lease.Update(ctx, func(s *discovery.Service) {
		s.Meta = maps.Clone(s.Meta)
		s.Meta[discovery.MetaWaits] = text
	})
	if err != nil {
		a.Log.Debug("discovery was not told what this process waits for", "err", err)
	}
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
