package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/davyxu/cellmesh_demo/svc/memsd/datafile"
	"github.com/davyxu/cellmesh_demo/util/cellnet"
	"github.com/davyxu/cellmesh_demo/util/discovery/store"
	"github.com/davyxu/cellmesh_demo/util/discovery/wire"
)

const (
	maxQueue = 1024 // requests waiting; then their connections wait
	maxGroup = 1024 // requests made durable together
)

var (
	errStopped   = errors.New("memsd is stopping")
	errForgotten = errors.New("all services were removed by command: register again")
)

// task is what a session hands to the core: a request, or that it is gone.
type task struct {
	from    *session
	req     wire.Request
	welcome *wire.Reply // with the request that completes the greeting: its answer
	hello   *wire.Hello // and what the client said of itself
	gone    error       // not nil: the connection has ended
}

// holder has the lease of a service.
type holder struct {
	owner string
	on    *session
}

// orphan is a service whose connection broke a moment ago.
type orphan struct {
	owner string
	until time.Time
}

// core owns the state. Everything without a comment belongs to the goroutine in run.
type core struct {
	s     *Server
	tasks chan task
	done  chan struct{} // closed when run has returned

	store    *store.Store
	sessions map[*session]struct{} // that have entered
	watchers map[*session]struct{}
	holders  map[string]holder  // by service ID
	orphans  map[string]orphan  // by service ID
	parked   []task             // registrations that wait until it is clear which index is free
	retry    bool               // what they wait for may have become clear
	touched  []*cellnet.Session // to be flushed after this group
	untold   []store.Event      // published, but the watchers have not been told
	tellAt   time.Time          // not before

	gatherer  gatherer
	compactor compactor

	returned bool          // a client of an earlier life has come
	settling atomic.Bool   // written by run; services of an earlier life may still come back
	settled  atomic.Uint64 // written by run; the revision at which that ended, if anybody had to be told
}

func newCore(s *Server, snap *store.Snapshot) *core {
	c := &core{
		s: s, tasks: make(chan task, maxQueue), done: make(chan struct{}),
		store:    store.New(snap),
		sessions: make(map[*session]struct{}),
		watchers: make(map[*session]struct{}),
		holders:  make(map[string]holder),
		orphans:  make(map[string]orphan),
	}
	c.settling.Store(true)
	c.compactor = compactor{file: s.file, feed: s.feed, done: make(chan *datafile.Compaction, 1)}
	return c
}

// put hands over a task; it waits while the queue is full.
func (c *core) put(t task) error {
	select {
	case c.tasks <- t:
		return nil
	case <-c.done:
		return errStopped
	}
}

// run does group after group until ctx is done.
func (c *core) run(ctx context.Context) {
	defer close(c.done)
	timer := time.NewTimer(c.s.opts.Settle)
	defer timer.Stop()
	defer c.compactor.stop()
	group := make([]task, 0, maxGroup)
	for {
		group = group[:0]
		select {
		case t := <-c.tasks:
			group = c.gather(append(group, t))
			if c.s.file != nil && group[len(group)-1].gone == nil {
				group = c.gather(c.gatherer.wait(c.tasks, group))
			}
		case <-timer.C:
		case done := <-c.compactor.done:
			c.compactor.finish(done)
		case <-ctx.Done():
			return
		}
		now := time.Now()
		c.serve(group)
		next := c.expire(now)
		c.note()
		next = earliest(next, c.compactor.due(now))
		if next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(next))
		}
	}
}

// gather takes what else is waiting. A session's end closes the group: what that session has asked for is done first.
func (c *core) gather(group []task) []task {
	for len(group) < maxGroup && group[len(group)-1].gone == nil {
		select {
		case t := <-c.tasks:
			group = append(group, t)
		default:
			return group
		}
	}
	return group
}

// outcome is what became of one request. Nothing of it is seen by anybody before the group is durable.
type outcome struct {
	reply    *wire.Reply // nil: no answer, or not yet, or only that it is
	done     bool        // at
	revision uint64
	event    store.Event
	after    func() // what the core has to note or do once it is durable; before the answer is sent
}

// serve does a group of tasks.
func (c *core) serve(group []task) {
	var gone *task
	if n := len(group); n > 0 && group[n-1].gone != nil {
		gone = &group[n-1]
		group = group[:n-1]
	}
	c.commit(group)
	if gone != nil {
		c.leave(gone.from, gone.gone)
	}
	c.flush()
}

// commit applies the requests of a group to the state and makes that durable; then it publishes and answers.
func (c *core) commit(group []task) {
	before := c.store.Snapshot()
	outcomes := make([]outcome, len(group))
	for i, t := range group {
		outcomes[i] = c.apply(t)
	}
	began := time.Now()
	err := c.persist(before, outcomes)
	c.gatherer.done(group, time.Since(began))
	if err != nil {
		// The disk does not take it: nothing of it has happened. What needs no disk is done all the same.
		c.store.Restore(before)
		for i, t := range group {
			if t.req.Do == wire.DoApply {
				c.s.stats.WriteFailures.Add(1)
				outcomes[i] = outcome{reply: &wire.Reply{Error: wire.NewError(err)}}
			} else {
				outcomes[i] = c.apply(t)
			}
		}
	}
	events := make([]store.Event, 0, len(group))
	for _, o := range outcomes {
		if len(o.event.Changes) > 0 {
			events = append(events, o.event)
		}
	}
	c.publish(events...)
	for i, o := range outcomes {
		if o.after != nil {
			o.after()
		}
		switch {
		case o.reply != nil:
			o.reply.ID = group[i].req.ID
			c.send(group[i].from, o.reply)
		case o.done:
			c.append(group[i].from, wire.AppendDone(nil, group[i].req.ID, o.revision))
		}
	}
	if c.retry {
		c.retry = false
		c.unpark()
	}
}

// persist makes the values that changed durable.
func (c *core) persist(before *store.Snapshot, outcomes []outcome) error {
	var events []store.Event
	for _, o := range outcomes {
		if o.event.HasValues() {
			events = append(events, o.event)
		}
	}
	if c.s.file == nil || len(events) == 0 {
		return nil
	}
	if err := c.s.file.Commit(before, events); err != nil {
		return fmt.Errorf("%w: memsd cannot write beside %s: %w", store.ErrStorage, c.s.opts.File, err)
	}
	c.s.stats.Commits.Add(1)
	return nil
}

// note tells the file what it is to remember of the services.
func (c *core) note() {
	if c.s.file != nil {
		services, _ := c.store.Snapshot().Len()
		c.s.file.Note(c.store.Snapshot().Revision(), services > 0 || c.unsure())
	}
}

// leave takes a session off the books. Services of a client that said goodbye go at once. Those of a connection that
// broke, or was silent for its time-to-live, stay a little: it may be made anew, and the silence may have been ours.
func (c *core) leave(from *session, reason error) {
	delete(c.sessions, from)
	delete(c.watchers, from)
	c.parked = slices.DeleteFunc(c.parked, func(t task) bool { return t.from == from })
	var ids []string
	for owner, id := range from.held {
		delete(c.holders, id)
		if errors.Is(reason, errBye) {
			ids = append(ids, id)
			c.s.stats.Left.Add(1)
			c.s.opts.Log.Info("service gone", "svc", id, "reason", reason)
		} else {
			c.orphans[id] = orphan{owner: owner, until: time.Now().Add(c.s.opts.Grace)}
		}
	}
	if len(ids) > 0 {
		c.publish(c.store.Remove(ids...))
		c.unpark()
	}
}

// expire does what has its time: it ends the settling, and removes orphans that nobody came back for. It returns when
// to look again; zero: no need.
func (c *core) expire(now time.Time) (next time.Time) {
	if c.settling.Load() {
		if end := c.s.started.Add(c.s.opts.Settle); now.Before(end) {
			next = end
		} else {
			c.settle()
		}
	}
	var ids []string
	for id, o := range c.orphans {
		if now.Before(o.until) {
			next = earliest(next, o.until)
			continue
		}
		delete(c.orphans, id)
		ids = append(ids, id)
		c.s.stats.Expired.Add(1)
		c.s.opts.Log.Info("service gone", "svc", id, "reason", "its connection broke and it did not come back")
	}
	if len(ids) > 0 {
		c.publish(c.store.Remove(ids...))
		c.unpark()
	}
	c.tell(now)
	if len(c.untold) > 0 {
		next = earliest(next, c.tellAt)
	}
	c.flush()
	return next
}

// earliest returns the earlier of two times; a zero time is none.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// settle ends the time in which services of an earlier life may come back. Clients that still show some are told.
func (c *core) settle() {
	if c.returned {
		c.store.Advance(c.store.Snapshot().Revision() + 1)
		c.s.feed.Publish(c.store.Snapshot())
		c.settled.Store(c.store.Snapshot().Revision())
		c.tellAt = time.Time{}
		c.tell(time.Now())
		for w := range c.watchers {
			c.send(w, &wire.Reply{Settled: c.store.Snapshot().Revision()})
		}
	}
	c.settling.Store(false)
	c.unpark()
}

// unpark tries registrations again that waited for an index to become clear.
func (c *core) unpark() {
	if tasks := c.parked; len(tasks) > 0 {
		c.parked = nil
		c.commit(tasks)
	}
}
