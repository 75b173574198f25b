package gateway

import (
	"sync"
	"time"

	"github.com/davyxu/cellmesh_demo/basefx/link"
)

// noDeadline takes a deadline back.
var noDeadline time.Time

// choose waits until an instance of service is linked, and binds the client to
// it. wished is the one it had or names, dead the link that turned out to have
// ended. The wait holds up this client only: what it sends meanwhile waits in
// its socket. nil when none came in time; or, with c.passed, because other clients'
// messages are read here: then the message comes again, where it may wait.
func (c *client) choose(service, wished string, dead *link.Link) *link.Link {
	c.Batch() // nothing of this client may wait unwritten meanwhile
	// A client on its way in has a token for one instance, another would refuse
	// it; a client that lost its backend is better off with another at once.
	patient := dead == nil && wished != ""
	if dead != nil && !c.awaitEnd(dead) {
		return nil
	}
	for missed := false; ; missed = true {
		changed := c.g.links.Changed()
		l, missing := c.g.pick(service, wished, dead, patient)
		if l != nil {
			if missed {
				c.g.away.back(l) // it may have come between our look and our note
			}
			return c.bind(service, l, dead)
		}
		switch left := time.Until(c.g.away.since(missing).Add(c.g.hold)); {
		case left <= 0 && patient:
			patient = false
		case left <= 0:
			return nil
		case !c.session.MayBlock():
			c.passed = true
			return nil
		case !c.g.await(changed, left):
			return nil
		}
	}
}

// longestEnd is how long a backend that retires may take to finish what it has.
const longestEnd = 15 * time.Second

// awaitEnd waits for the end of a link that takes no more messages of clients:
// until then its backend is at work on those before. False if it does not end, or
// if this is no place to wait.
func (c *client) awaitEnd(l *link.Link) bool {
	for end := time.Now().Add(longestEnd); ; {
		changed := c.g.links.Changed()
		switch left := time.Until(end); {
		case l.Ended() != nil:
			return true
		case !c.session.MayBlock():
			c.passed = true
			return false
		case left <= 0 || !c.g.await(changed, left):
			return false
		}
	}
}

// await waits for changed, at most so long; false when the process stops.
func (g *Gateway) await(changed <-chan struct{}, most time.Duration) bool {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	case <-g.ctx.Done():
		return false
	}
	return true
}

// away remembers since when services, or instances, are missed: the first
// message for one that is gone is held for -hold, later ones only for what is
// left of it. Otherwise every message for a service that stays away would hold
// up what its client sends to others.
type away struct {
	mu     sync.Mutex
	missed map[string]time.Time // by service or svcid that discovery has shown
}

// since is when what was first missed.
func (a *away) since(what string) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	at, ok := a.missed[what]
	if !ok {
		at = time.Now()
		if a.missed == nil {
			a.missed = map[string]time.Time{}
		}
		a.missed[what] = at
	}
	return at
}

// back forgets what a link brings back.
func (a *away) back(l *link.Link) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.missed, l.Name)
	delete(a.missed, l.ID)
}
