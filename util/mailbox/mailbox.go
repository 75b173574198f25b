// Package mailbox runs work of many owners: one owner's items one after the
// other, different owners' in parallel, on goroutines that are there only while
// there is something to do. An idle mailbox costs its struct and nothing else.
//
// Open mailbox.go first; group.go keeps the goroutines.
package mailbox

import (
	"errors"
	"sync"
)

// Errors of Post.
var (
	ErrFull   = errors.New("mailbox: full")
	ErrClosed = errors.New("mailbox: closed")
)

// A Mailbox is a bounded queue whose items are handled in order, one at a
// time. Init it before use and never copy it.
type Mailbox[T any] struct {
	handle func(T) // may block
	idle   func()  // the queue ran empty: flush what the items caused
	group  *Group
	start  func() // m.run, made once: a method value for each wake would be an allocation
	limit  int

	mu      sync.Mutex // guards the rest
	queue   []T
	running bool
	closed  bool
}

// Init makes m ready. handle is given each item; idle is called whenever the
// queue ran empty after some were handled; both run on the same goroutine.
// limit bounds the items waiting.
func (m *Mailbox[T]) Init(g *Group, limit int, handle func(T), idle func()) {
	m.group, m.limit, m.handle, m.idle, m.start = g, limit, handle, idle, m.run
}

// Post appends v. It never blocks: a full mailbox refuses with ErrFull, a
// closed one with ErrClosed, and v stays the caller's.
func (m *Mailbox[T]) Post(v T) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	if len(m.queue) >= m.limit {
		return ErrFull
	}
	m.push(v)
	return nil
}

// Close appends last, whatever the limit, and refuses everything after it.
// Only the first Close does anything; it reports whether it was the one.
func (m *Mailbox[T]) Close(last T) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	m.closed = true
	m.push(last)
	return true
}

// Enter makes the caller the one who handles m's items, if nobody does and none
// waits: it may then do an item's work itself, in its turn, and must Leave. The
// items posted meanwhile wait.
func (m *Mailbox[T]) Enter() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running || m.closed || len(m.queue) > 0 {
		return false
	}
	m.running = true
	return true
}

// Leave ends what Enter began. What was posted meanwhile is handled by another
// goroutine; or by the caller before Leave returns, if it says that it has the
// time.
func (m *Mailbox[T]) Leave(patient bool) {
	m.mu.Lock()
	if len(m.queue) == 0 {
		m.running = false
		m.mu.Unlock()
		return
	}
	m.mu.Unlock()
	if patient {
		m.run()
	} else {
		m.group.Go(m.start)
	}
}

func (m *Mailbox[T]) push(v T) {
	m.queue = append(m.queue, v)
	if !m.running {
		m.running = true
		m.group.Go(m.start)
	}
}

func (m *Mailbox[T]) run() {
	var batch []T
	for {
		m.mu.Lock()
		if len(m.queue) == 0 {
			m.running = false
			if m.queue == nil || cap(batch) > cap(m.queue) {
				m.queue = batch[:0]
			}
			m.trim()
			m.mu.Unlock()
			return
		}
		batch, m.queue = m.queue, batch[:0]
		m.mu.Unlock()
		for i := range batch {
			m.handle(batch[i])
		}
		clear(batch)
		m.idle()
	}
}

// trim lets an idle mailbox forget a buffer that one burst made large.
func (m *Mailbox[T]) trim() {
	if cap(m.queue) > 16 {
		m.queue = nil
	}
}
