package gateway

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// greetings are the services that want to know every verified client at once.
// Each has a goroutine that introduces clients to one instance: when they are
// verified, when an instance has come, when one has gone.
type greetings struct {
	g   *Gateway
	mu  sync.Mutex                  // of who changes all
	all atomic.Pointer[[]*greeting] // replaced, never changed
}

func newGreetings(g *Gateway) *greetings {
	gs := &greetings{g: g}
	gs.all.Store(new([]*greeting))
	return gs
}

// verified is told of every client that has been verified.
func (gs *greetings) verified(c *client) {
	for _, gr := range *gs.all.Load() {
		gr.add(c)
	}
}

// lost is told that a link has ended: its clients need another.
func (gs *greetings) lost(l *link.Link) {
	for _, gr := range *gs.all.Load() {
		if gr.service == l.Name {
			gr.again()
		}
	}
}

// asked is told that an instance of a service is there that wants to be greeted.
func (gs *greetings) asked(service string) {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	all := *gs.all.Load()
	i := slices.IndexFunc(all, func(gr *greeting) bool { return gr.service == service })
	if i < 0 {
		gr := &greeting{g: gs.g, service: service, wake: make(chan struct{}, 1)}
		all = append(slices.Clone(all), gr)
		i = len(all) - 1
		gs.all.Store(&all) // from here on nobody is verified without it; who was before is among all
		gs.g.app.Go("greetings of "+service, gr.run)
	}
	all[i].again()
}

// greet is a backend asking for its clients, and for who is here.
func (g *Gateway) greet(l *link.Link, _ uint64, _ *pb.Greet) error {
	g.feeds.begin(g, l)
	g.greetings.asked(l.Name)
	return nil
}

// greeting introduces clients to one service.
type greeting struct {
	g       *Gateway
	service string
	wake    chan struct{} // holds one

	mu    sync.Mutex
	fresh []*client // verified since the last look, at most maxFresh
	all   bool      // look at every client
}

// maxFresh is how many clients are remembered one by one; more, and all are
// looked at.
const maxFresh = 10_000

func (gr *greeting) add(c *client) {
	gr.mu.Lock()
	if len(gr.fresh) == maxFresh {
		gr.fresh, gr.all = nil, true
	}
	gr.fresh = append(gr.fresh, c)
	gr.mu.Unlock()
	poke(gr.wake)
}

func (gr *greeting) again() {
	gr.mu.Lock()
	gr.all = true
	gr.mu.Unlock()
	poke(gr.wake)
}

// poke wakes whoever waits for wake, which holds one.
func poke(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// run introduces those who have no instance yet, or have lost it.
func (gr *greeting) run(ctx context.Context) error {
	for {
		select {
		case <-gr.wake:
		case <-ctx.Done():
			return nil
		}
		gr.mu.Lock()
		fresh, all := gr.fresh, gr.all
		gr.fresh, gr.all = nil, false
		gr.mu.Unlock()
		r := round{greeting: gr, ctx: ctx}
		if all {
			gr.g.slots.each(r.introduce)
		} else {
			for _, c := range fresh {
				r.introduce(c)
			}
		}
		r.flush()
		// Who is verified meanwhile leaves together.
		if !pause(ctx, breath) {
			return nil
		}
	}
}

const (
	// breath is how long those who tell backends about clients rest between two
	// rounds, so that what happens meanwhile leaves in one write.
	breath = 5 * time.Millisecond
	// maxAhead is how many bytes may wait on a link before they hold back: far
	// less than what would be too much for it.
	maxAhead = 1 << 20
	// atOnce is how many introductions are written together.
	atOnce = 64
)

// pause waits; false when ctx is done.
func pause(ctx context.Context, long time.Duration) bool {
	t := time.NewTimer(long)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// round is one round of introductions.
type round struct {
	*greeting
	ctx       context.Context
	instances []*link.Link // to choose from; nil: look again
	dirty     []*link.Link // have introductions that nobody else will flush
	count     int          // since the last flush
}

// introduce introduces one client, if it needs that. It waits for instances that
// do not keep up. When there is none at all nothing is lost: one that comes asks
// for all.
func (r *round) introduce(c *client) {
	for r.ctx.Err() == nil && c.needs(r.service) {
		if r.instances == nil {
			r.instances = r.look()
		}
		if len(r.instances) == 0 {
			r.instances = nil
			return
		}
		l := r.least()
		if l == nil { // none keeps up
			r.flush()
			pause(r.ctx, breath)
			continue
		}
		first, err := c.meet(r.service, l)
		if first && !slices.Contains(r.dirty, l) {
			r.dirty = append(r.dirty, l)
		}
		if r.count++; r.count >= atOnce {
			r.flush()
		}
		if err == nil {
			return
		}
		r.instances = nil // it is full, or has ended: look again
	}
}

// flush writes what was appended. Others rely on it, as on client.Batch.
func (r *round) flush() {
	for _, l := range r.dirty {
		l.Flush()
	}
	r.dirty, r.count, r.instances = r.dirty[:0], 0, nil
}

// look returns the instances to choose from: those that discovery shows as
// ready, or, if it shows none, any.
func (r *round) look() (instances []*link.Link) {
	snap := r.g.registry.Snapshot()
	ready := false
	for _, l := range r.g.links.Named(r.service) {
		if l.Ended() != nil {
			continue
		}
		svc, ok := snap.Service(l.ID)
		switch is := ok && svc.State == discovery.Ready; {
		case is && !ready:
			ready, instances = true, []*link.Link{l}
		case is == ready:
			instances = append(instances, l)
		}
	}
	return instances
}

// least is the instance with the fewest of our clients, of those that keep up.
func (r *round) least() (best *link.Link) {
	crowd, same := 0, 0
	for _, l := range r.instances {
		if l.Pending() > maxAhead {
			continue
		}
		switch n := r.g.crowds.of(l); {
		case best == nil || n < crowd:
			best, crowd, same = l, n, 1
		case n == crowd:
			if same++; rand.IntN(same) == 0 {
				best = l
			}
		}
	}
	return best
}

// needs reports whether the client should be introduced to an instance of a
// service.
func (c *client) needs(service string) bool {
	if c.user.Load() == nil {
		return false
	}
	l := c.boundTo(service)
	return l == nil || l.Ended() != nil
}

// meet introduces the client to the instance at l, unless it has one by now, and
// binds it. It does not write: with first the caller must Flush. An error says
// that l cannot take it now.
func (c *client) meet(service string, l *link.Link) (first bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || !c.needs(service) {
		return false, nil
	}
	if first, err = appendControl(l, c.id, c.introduction(c.user.Load())); err == nil {
		c.replace(service, l)
		c.g.introduced.Add(1)
	}
	return first, err
}

// appendControl appends a control message that may be said later instead: unlike
// Link.Send it does not end a link that is full. With first the caller must
// Flush.
func appendControl(l *link.Link, client uint64, m pb.Message) (first bool, err error) {
	body, err := m.AppendTo(nil)
	if err != nil {
		return false, err
	}
	return l.Append(link.Control, client, m.MsgID(), body)
}
