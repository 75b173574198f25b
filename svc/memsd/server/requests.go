package server

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/davyxu/cellmesh_demo/util/discovery/store"
	"github.com/davyxu/cellmesh_demo/util/discovery/wire"
)

// apply does one request to the state. It may be called twice for the same request, with the state put back in between:
// whatever else has to happen goes into outcome.after.
func (c *core) apply(t task) outcome {
	if t.welcome != nil {
		return c.enter(t)
	}
	switch t.req.Do {
	case wire.DoApply:
		ev, err := c.store.Apply(t.req.Ops)
		o := answer(ev, err)
		o.after = func() {
			switch {
			case err == nil:
				c.s.stats.Writes.Add(1)
			case errors.Is(err, store.ErrConflict):
				c.s.stats.Conflicts.Add(1)
			}
		}
		return o
	case wire.DoRegister:
		return c.register(t)
	case wire.DoLeave:
		return c.unregister(t)
	case wire.DoWatch:
		return c.watch(t)
	case wire.DoForget:
		return c.forget()
	case wire.DoStatus:
		return outcome{reply: &wire.Reply{Status: c.status()}}
	}
	return answer(store.Event{}, fmt.Errorf("%w: request %s", store.ErrInvalid, t.req.Do))
}

func answer(ev store.Event, err error) outcome {
	if err != nil {
		return outcome{reply: &wire.Reply{Error: wire.NewError(err)}}
	}
	return outcome{done: true, revision: ev.Revision, event: ev}
}

// enter welcomes a client. If it has seen revisions of an earlier life, ours go on above them: what a client sees only
// moves forward.
func (c *core) enter(t task) outcome {
	foreign := t.hello.History != c.s.history && t.hello.Revision > 0
	if foreign {
		c.store.Advance(t.hello.Revision + 1)
	}
	return outcome{reply: t.welcome, after: func() {
		c.sessions[t.from] = struct{}{}
		c.returned = c.returned || foreign
	}}
}

func (c *core) register(t task) outcome {
	owner, svc := t.req.Owner, *t.req.Service
	if svc.Index < 0 && c.unclear(owner, svc) {
		if len(c.parked) >= maxQueue {
			return answer(store.Event{}, fmt.Errorf("%w: %d registrations are waiting for an index already", store.ErrFull, maxQueue))
		}
		return outcome{after: func() { c.parked = append(c.parked, t) }}
	}
	svc, ev, err := c.store.Register(owner, svc)
	if err != nil {
		return answer(ev, err)
	}
	return outcome{
		event: ev,
		reply: &wire.Reply{Revision: ev.Revision, Service: &svc},
		after: func() { c.hold(t.from, owner, svc) },
	}
}

// hold notes that from has the lease of owner for svc, and that whoever had one for the same ID has lost it.
func (c *core) hold(from *session, owner string, svc store.Service) {
	had, held := c.holders[svc.ID]
	c.holders[svc.ID] = holder{owner: owner, on: from}
	if held && (had.owner != owner || had.on != from) {
		delete(had.on.held, had.owner)
	}
	from.held[owner] = svc.ID
	orphan, orphaned := c.orphans[svc.ID]
	if orphaned {
		delete(c.orphans, svc.ID)
		c.retry = true
	}
	if held && had.owner == owner && had.on == from {
		return // an update
	}
	c.s.stats.Registered.Add(1)
	c.s.opts.Log.Info("service registered", "svc", svc.ID, "epoch", svc.Epoch, "addr", svc.Addr, "state", svc.State,
		"client", *from.name.Load(), "remote", from.conn.RemoteAddr(), "back", orphan.owner == owner)
	if held && had.owner != owner {
		c.send(had.on, &wire.Reply{Lost: had.owner, Error: wire.NewError(
			fmt.Errorf("%w: service ID %s was registered again, with epoch %d", store.ErrReplaced, svc.ID, svc.Epoch))})
		c.s.stats.Replaced.Add(1)
		c.s.opts.Log.Warn("service replaced", "svc", svc.ID, "epoch", svc.Epoch, "client", *had.on.name.Load(), "remote", had.on.conn.RemoteAddr())
	}
}

// unclear says whether the lowest free index cannot be told now: the lowest candidate may belong to a service that is
// on its way back.
func (c *core) unclear(owner string, svc store.Service) bool {
	if svc.Check() != nil {
		return false // refused
	}
	if _, again := c.store.Holds(owner, svc.Name, svc.Group); again {
		return false // answered with what it has
	}
	if c.unsure() {
		return true
	}
	free := c.store.FreeIndex(svc.Name, svc.Group)
	for id := range c.orphans {
		if name, index, group, err := store.ParseID(id); err == nil && name == svc.Name && group == svc.Group && index < free {
			return true
		}
	}
	return false
}

// unsure says that services of an earlier life of memsd may be alive and on their way back.
func (c *core) unsure() bool {
	return c.settling.Load() && (c.returned || c.s.hadServices)
}

func (c *core) unregister(t task) outcome {
	owner := t.req.Owner
	id := c.store.Registration(owner)
	o := answer(c.store.Leave(owner, id), nil)
	o.after = func() {
		if had, held := c.holders[id]; held && had.owner == owner {
			delete(had.on.held, owner)
			delete(c.holders, id)
		}
		if c.orphans[id].owner == owner {
			delete(c.orphans, id)
		}
		c.parked = slices.DeleteFunc(c.parked, func(t task) bool { return t.req.Owner == owner })
		c.retry = true
		if id != "" {
			c.s.stats.Left.Add(1)
			c.s.opts.Log.Info("service gone", "svc", id, "reason", "it left")
		}
	}
	return o
}

// watch begins to send events, if what happened since the client's revision is still known: first what the client has
// missed, then the answer, then what follows.
func (c *core) watch(t task) outcome {
	return outcome{after: func() {
		events, revision, ok := c.s.feed.Since(t.req.From)
		if t.req.From < c.settled.Load() {
			ok = false
		}
		var frames [][]byte
		if ok {
			frames, ok = encodeEvents(events)
		}
		if !ok {
			c.s.stats.Resets.Add(1)
			t.from.minimum.Store(revision) // or the pages it gets next might be too old, too
		}
		for _, f := range frames {
			c.append(t.from, f)
		}
		c.send(t.from, &wire.Reply{ID: t.req.ID, Revision: revision, Reset: !ok})
		if _, here := c.sessions[t.from]; here && ok {
			c.watchers[t.from] = struct{}{}
		}
	}}
}

// forget removes all services. The connections that hold some are closed: who lives comes back and registers again.
func (c *core) forget() outcome {
	var ids []string
	for svc := range c.store.Snapshot().Services("") {
		ids = append(ids, svc.ID)
	}
	o := answer(c.store.Remove(ids...), nil)
	o.after = func() {
		for from := range c.sessions {
			if len(from.held) > 0 {
				clear(from.held)
				from.conn.Close(errForgotten)
			}
		}
		clear(c.holders)
		clear(c.orphans)
		c.s.opts.Log.Warn("all services were removed by command", "count", len(ids))
	}
	return o
}

func (c *core) status() *wire.Status {
	snap := c.store.Snapshot()
	services, keys := snap.Len()
	st := &wire.Status{
		Address: c.s.address, PID: os.Getpid(), Version: c.s.opts.Version, Started: c.s.started, History: c.s.history,
		Revision: snap.Revision(), Services: services, Keys: keys, Bytes: snap.Bytes(),
		Clients: len(c.sessions), Watchers: len(c.watchers),
	}
	if c.s.file != nil {
		c.s.file.Status(st)
	}
	return st
}
