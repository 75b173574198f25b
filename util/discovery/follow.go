package discovery

import (
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/davyxu/cellmesh_demo/util/discovery/store"
	"github.com/davyxu/cellmesh_demo/util/discovery/wire"
)

// replica is what a client knows of memsd's state, and what it shows of that.
type replica struct {
	mu      sync.Mutex
	state   *Snapshot
	hidden  bool                // state is whole but old: it is not shown before it has caught up
	history string              // of the memsd that state came from
	data    string              // the lineage of the values in state
	ghosts  map[string]*Service // in state, though memsd has not (yet) heard of them since it came back
}

// follow catches up with memsd, and again whenever memsd says that it must. It ends with the connection.
func (c *Client) follow(l *link, w *wire.Welcome) error {
	whole := c.replica.foreign(w.History)
	for {
		if err := c.catchUp(l, w, whole); err != nil {
			if l.ctx.Err() != nil {
				return nil // the reason is told elsewhere
			}
			return err
		}
		select {
		case <-l.resync:
			whole = true
		case <-l.done:
			return nil
		}
	}
}

// seen returns what memsd has to go on from: the life that the state is of, and the newest revision there was.
func (r *replica) seen() (history string, revision uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.history, r.state.Revision()
}

// foreign says whether the events of this memsd do not continue the state.
func (r *replica) foreign(history string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return history != r.history || r.hidden || len(r.ghosts) > 0
}

// catchUp brings the state to the present: by the events that memsd remembers, or else by the whole state. memsd sends
// the events that were missed before its answer to the watch, and those that follow after it.
func (c *Client) catchUp(l *link, w *wire.Welcome, whole bool) error {
	for {
		if whole {
			snap, settling, err := c.fetch(l, w.Data)
			if err != nil {
				return fmt.Errorf("fetch the state: %w", err)
			}
			c.replica.install(snap, w, settling)
		}
		_, revision := c.replica.seen()
		m, err := l.call(l.ctx, wire.Request{Do: wire.DoWatch, From: revision})
		if err != nil {
			return fmt.Errorf("watch: %w", err)
		}
		if !m.Reset {
			c.show()
			return nil
		}
		whole = true
	}
}

// fetch gets the whole state; values only if ours are not the same. settling: memsd came up so recently that not
// everybody can be back.
func (c *Client) fetch(l *link, data string) (snap *Snapshot, settling bool, err error) {
	have := c.replica.values(data)
	var services []*Service
	var values [][2]string
	for page, same := 0, false; ; {
		m, err := l.call(l.ctx, wire.Request{Do: wire.DoPage, Page: page, Data: data, Values: have.ValuesRevision()})
		switch {
		case err != nil:
			return nil, false, err
		case m.Page == nil || m.Next != 0 && m.Next <= page:
			return nil, false, fmt.Errorf("%w: page %d", wire.ErrBadMessage, page)
		}
		for _, s := range m.Page.Services {
			svc, err := s.Store()
			if err != nil {
				return nil, false, err
			}
			services = append(services, svc)
		}
		values = append(values, m.Page.Values...)
		same = same || m.Same
		switch page = m.Next; {
		case page != 0:
		case same:
			return have.WithServices(m.Page.Revision, slices.Values(services)), m.Settling, nil
		default:
			return store.NewSnapshot(m.Page.Revision, m.Page.ValuesAt, pairs(values), slices.Values(services)), m.Settling, nil
		}
	}
}

// values returns a state with the values that we have of this lineage.
func (r *replica) values(data string) *Snapshot {
	r.mu.Lock()
	defer r.mu.Unlock()
	if data != r.data {
		return store.NewSnapshot(0, 0, nil, nil)
	}
	return r.state
}

func pairs(values [][2]string) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for _, kv := range values {
			if !yield(kv[0], kv[1]) {
				return
			}
		}
	}
}

// install makes a whole state the one to go on from. When memsd has lost the services because it died, those that are
// known and that it does not list are kept until it has given all of them the time to register again: they are alive as
// far as anybody knows.
func (r *replica) install(snap *Snapshot, w *wire.Welcome, settling bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ghosts := make(map[string]*Service)
	var changes []Change
	for s := range r.state.Services("") {
		_, known := snap.Service(s.ID)
		if settling && !known && (w.History != r.history || r.ghosts[s.ID] != nil) {
			ghosts[s.ID] = s
			changes = append(changes, Change{Service: s})
		}
	}
	r.state = snap.Next(Event{Revision: snap.Revision(), Changes: changes})
	r.history, r.data, r.ghosts, r.hidden = w.History, w.Data, ghosts, true
}

// show makes the state visible, once it has caught up.
func (c *Client) show() {
	r := &c.replica
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hidden {
		r.hidden = false
		c.feed.Publish(r.state, Event{Revision: r.state.Revision(), Reset: r.state})
	}
}

// happened makes events visible, all at once.
func (c *Client) happened(events ...Event) {
	r := &c.replica
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(events) > 0 && events[0].Revision <= r.state.Revision() {
		events = events[1:] // known already
	}
	for _, ev := range events {
		for _, change := range ev.Changes {
			if change.Service != nil {
				delete(r.ghosts, change.Service.ID)
			}
		}
	}
	r.state = r.state.Next(events...)
	if !r.hidden {
		c.feed.Publish(r.state, events...)
	}
}

// settled is told when memsd was up for long enough: who has not come back by now is gone.
func (c *Client) settled(revision uint64) {
	c.replica.mu.Lock()
	var changes []Change
	for _, s := range c.replica.ghosts {
		changes = append(changes, Change{Service: s, Deleted: true})
	}
	c.replica.mu.Unlock()
	c.happened(Event{Revision: revision, Changes: changes})
}

// pushed takes what memsd says on its own; the session calls it, in the order in which memsd has sent. It fails with
// wire.ErrBadMessage.
func (c *Client) pushed(l *link, m wire.Reply) error {
	switch {
	case m.Lost != "":
		c.lose(m.Lost, m.Error.Err())
	case m.Reset:
		select {
		case l.resync <- struct{}{}:
		default: // it is known already
		}
	case m.Settled != 0:
		c.settled(m.Settled)
	default:
		events := make([]Event, len(m.Events))
		for i, ev := range m.Events {
			var err error
			if events[i], err = ev.Store(); err != nil {
				return err
			}
		}
		c.happened(events...)
	}
	return nil
}
