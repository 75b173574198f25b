package discovery

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"sync"

	"github.com/davyxu/cellmesh_demo/util/discovery/store"
)

// Memory is a registry within one process. Each handle from Open stands for a process of the cluster.
type Memory struct {
	feed *store.Feed

	mu     sync.Mutex
	store  *store.Store
	leases map[string]*memoryLease // by owner
	owners uint64                  // counts, to give each lease an owner
}

// NewMemory returns an empty registry, at revision 1.
func NewMemory() *Memory {
	st := store.New(nil)
	return &Memory{store: st, feed: store.NewFeed(st.Snapshot()), leases: make(map[string]*memoryLease)}
}

// Open returns a new handle.
func (m *Memory) Open() Registry {
	ctx, end := context.WithCancel(context.Background())
	return &memoryHandle{m: m, ctx: ctx, end: end}
}

// publish must be called with m.mu held, after every change of m.store.
func (m *Memory) publish(ev Event) { m.feed.Publish(m.store.Snapshot(), ev) }

type memoryHandle struct {
	m   *Memory
	ctx context.Context // done when the handle is closed
	end context.CancelFunc
}

func (h *memoryHandle) Snapshot() *Snapshot { return h.m.feed.Snapshot() }

// alive fails when h is closed or ctx is done.
func (h *memoryHandle) alive(ctx context.Context) error {
	if h.ctx.Err() != nil {
		return ErrClosed
	}
	return ctx.Err()
}

// within returns ctx, ended also by h's Close. The caller must call the function, too.
func (h *memoryHandle) within(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(h.ctx, func() { cancel(ErrClosed) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

func (h *memoryHandle) Wait(ctx context.Context, after uint64) (*Snapshot, error) {
	if err := h.alive(ctx); err != nil {
		return nil, err
	}
	if s := h.Snapshot(); s.Revision() > after {
		return s, nil
	}
	ctx, end := h.within(ctx)
	defer end()
	s, err := h.m.feed.Wait(ctx, after)
	if err != nil {
		return nil, context.Cause(ctx)
	}
	return s, nil
}

func (h *memoryHandle) Watch(ctx context.Context, from uint64) iter.Seq[Event] {
	return func(yield func(Event) bool) {
		if h.alive(ctx) != nil {
			return
		}
		ctx, end := h.within(ctx)
		defer end()
		h.m.feed.Watch(ctx, from)(yield)
	}
}

func (h *memoryHandle) Apply(ctx context.Context, ops ...Op) (uint64, error) {
	if err := h.alive(ctx); err != nil {
		return 0, err
	}
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	ev, err := h.m.store.Apply(ops)
	if err != nil {
		return 0, err
	}
	h.m.publish(ev)
	return ev.Revision, nil
}

func (h *memoryHandle) Register(ctx context.Context, s Service) (Lease, error) {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	if err := h.alive(ctx); err != nil {
		return nil, err
	}
	s.Epoch = 0
	h.m.owners++
	owner := strconv.FormatUint(h.m.owners, 10)
	s, ev, err := h.m.store.Register(owner, s)
	if err != nil {
		return nil, err
	}
	for _, old := range h.m.leases {
		if old.service.ID == s.ID {
			old.finish(fmt.Errorf("%w: service ID %s was registered again, with epoch %d", ErrReplaced, s.ID, s.Epoch))
		}
	}
	l := &memoryLease{h: h, owner: owner, service: s, lost: make(chan error, 1)}
	h.m.leases[owner] = l
	h.m.publish(ev)
	return l, nil
}

func (h *memoryHandle) Close() error {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	h.end()
	var ids []string
	for _, l := range h.m.leases {
		if l.h == h {
			ids = append(ids, l.service.ID)
			l.finish(nil)
		}
	}
	h.m.publish(h.m.store.Remove(ids...))
	return nil
}

// memoryLease is guarded by Memory.mu.
type memoryLease struct {
	h       *memoryHandle
	owner   string
	service Service
	reason  error      // why the lease is over, if it is
	lost    chan error // closed when it is over
	over    bool
}

// finish takes the lease off the books; Memory.mu is held.
func (l *memoryLease) finish(reason error) {
	if l.over {
		return
	}
	l.over, l.reason = true, reason
	delete(l.h.m.leases, l.owner)
	if reason != nil {
		l.lost <- reason
	}
	close(l.lost)
}

func (l *memoryLease) Service() Service {
	l.h.m.mu.Lock()
	defer l.h.m.mu.Unlock()
	return l.service.Clone()
}

func (l *memoryLease) Update(ctx context.Context, change func(*Service)) error {
	l.h.m.mu.Lock()
	defer l.h.m.mu.Unlock()
	switch {
	case l.reason != nil:
		return l.reason
	case l.over:
		return ErrClosed
	case ctx.Err() != nil:
		return ctx.Err()
	}
	next := changed(l.service, change)
	next, ev, err := l.h.m.store.Register(l.owner, next)
	if err != nil {
		return err
	}
	l.service = next
	l.h.m.publish(ev)
	return nil
}

func (l *memoryLease) Close(context.Context) error {
	l.h.m.mu.Lock()
	defer l.h.m.mu.Unlock()
	if l.over {
		return nil
	}
	l.finish(nil)
	l.h.m.publish(l.h.m.store.Leave(l.owner, l.service.ID))
	return nil
}

func (l *memoryLease) Lost() <-chan error { return l.lost }

// changed returns s after change, which may touch only Addr, State and Meta.
func changed(s Service, change func(*Service)) Service {
	next := s.Clone()
	if next.Meta == nil {
		next.Meta = make(map[string]string)
	}
	change(&next)
	next.ID, next.Name, next.Group, next.Index, next.Epoch = s.ID, s.Name, s.Group, s.Index, s.Epoch
	return next.Clone() // the caller may go on using its map
}
