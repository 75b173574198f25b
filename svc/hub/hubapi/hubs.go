package hubapi

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/hub/hubapi/channel"
	"github.com/davyxu/cellmesh_demo/util/cellnet"
)

// What is kept while no hub is linked.
const (
	maxBacklog      = 1024    // messages
	maxBacklogBytes = 4 << 20 // of them
)

// maxRoom is how much memory is kept to encode messages in.
const maxRoom = 64 << 10

// hubs is the engine over links to the hubs. A message is published through one
// hub and subscribed to at all of them, so that it arrives at most once.
type hubs struct {
	subs channel.Table[*receiver]

	mu      sync.Mutex
	events  Events
	list    []*link.Link   // hubs that know our subscriptions, in the order they came
	wanted  map[string]int // subscriptions by pattern
	backlog [][]byte       // encoded
	bytes   int            // in backlog
	room    []byte         // to encode in
	unsaid  *link.Link     // has something that the flusher is to write
	wake    chan struct{}  // capacity 1: wakes the flusher

	syncs   uint64 // the last number used
	synced  map[*link.Link]uint64
	changed chan struct{} // closed and remade when list or synced changes
}

type receiver struct{ deliver func(*pb.HubPublish, Via) }

// OverLinks makes the engine of a process, and wires its links for it: they are
// not running yet. run must be run, until all is over. [Join] does all that.
func OverLinks(links *link.Links) (e Engine, run func(ctx context.Context)) {
	h := newHubs(links)
	return h, h.run
}

func newHubs(links *link.Links) *hubs {
	h := &hubs{wanted: map[string]int{}, wake: make(chan struct{}, 1), synced: map[*link.Link]uint64{}, changed: make(chan struct{})}
	links.Dial("hub")
	links.OnUp(h.linked)
	links.OnDown(h.unlinked)
	links.ReceiveControl(pb.HubPublishID, func(l *link.Link) link.Receiver {
		if l.Name != "hub" {
			return nil
		}
		return &incoming{hubs: h, link: l}
	})
	link.Handle(links, h.hasSynced)
	link.Handle(links, func(_ *link.Link, _ uint64, m *pb.HubMissed) error {
		h.events.Missed(m.Messages)
		return nil
	})
	return h
}

// run writes what is published, until ctx is done. Publishers leave that to it:
// while it writes, they append what the next write takes.
func (h *hubs) run(ctx context.Context) {
	for {
		select {
		case <-h.wake:
		case <-ctx.Done():
			return
		}
		h.mu.Lock()
		l := h.unsaid
		h.unsaid = nil
		h.mu.Unlock()
		if l != nil {
			l.Flush()
		}
	}
}

// Notify implements Engine.
func (h *hubs) Notify(e Events) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = e
}

// Up implements Engine.
func (h *hubs) Up() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.list) > 0
}

// Publish implements Engine.
func (h *hubs) Publish(p *pb.HubPublish, via Via) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	body, err := p.AppendTo(h.room[:0])
	if cap(body) <= maxRoom {
		h.room = body[:0]
	}
	switch {
	case err != nil:
		return err
	case len(body) > MaxMessage:
		return fmt.Errorf("%w: %d bytes, at most %d are allowed", cellnet.ErrFrameTooLarge, len(body), MaxMessage)
	}
	if l, ok := via.(*link.Link); ok && l.Ended() == nil {
		first, err := l.Append(link.Control, 0, pb.HubPublishID, body)
		if first {
			l.Flush()
		}
		return inWords(err)
	}
	if len(h.backlog) == 0 {
		if sent, err := h.send(body); sent || err != nil {
			return err
		}
	}
	h.keep(slices.Clone(body))
	return h.sendBacklog()
}

// Subscribe implements Engine.
func (h *hubs) Subscribe(pattern string, deliver func(*pb.HubPublish, Via)) (cancel func()) {
	r := &receiver{deliver}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.subs.Add(pattern, r)
	if h.wanted[pattern]++; h.wanted[pattern] == 1 {
		h.tellAll(&pb.HubSubscribe{Channel: pattern})
	}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if !h.subs.Remove(pattern, r) {
			return
		}
		if h.wanted[pattern]--; h.wanted[pattern] == 0 {
			delete(h.wanted, pattern)
			h.tellAll(&pb.HubUnsubscribe{Channel: pattern})
		}
	}
}

// Flush implements Engine: all hubs that are linked have done what was said, one
// at least.
func (h *hubs) Flush(ctx context.Context) error {
	h.mu.Lock()
	h.syncs++
	number := h.syncs
	h.mu.Unlock()
	asked := map[*link.Link]bool{}
	for {
		h.mu.Lock()
		done, changed := len(h.list) > 0, h.changed
		for _, l := range h.list {
			if !asked[l] {
				asked[l] = true
				l.Send(0, &pb.HubSync{Number: number}) // if it fails the link has ended, and leaves the list
			}
			done = done && h.synced[l] >= number
		}
		h.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("no hub has answered: %w", context.Cause(ctx))
		}
	}
}

func (h *hubs) hasSynced(l *link.Link, _ uint64, m *pb.HubSynced) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if slices.Contains(h.list, l) {
		h.synced[l] = max(h.synced[l], m.Number)
		h.hasChanged()
	}
	return nil
}

// linked subscribes at a hub that has come, and publishes what has waited.
func (h *hubs) linked(l *link.Link) {
	if l.Name != "hub" {
		return
	}
	h.mu.Lock()
	for pattern := range h.wanted {
		l.Send(0, &pb.HubSubscribe{Channel: pattern}) // if it fails the link has ended
	}
	h.list = append(h.list, l)
	h.sendBacklog() // errors are counted
	h.hasChanged()
	h.mu.Unlock()
	h.events.Up()
}

func (h *hubs) unlinked(l *link.Link) {
	if l.Name != "hub" {
		return
	}
	h.mu.Lock()
	h.list = slices.DeleteFunc(h.list, func(o *link.Link) bool { return o == l })
	delete(h.synced, l)
	h.hasChanged()
	h.mu.Unlock()
	h.events.Missed(0)
}

// The functions below are called with mu held.

func (h *hubs) hasChanged() {
	close(h.changed)
	h.changed = make(chan struct{})
}

func (h *hubs) tellAll(m pb.Message) {
	for _, l := range h.list {
		l.Send(0, m) // if it fails the link has ended, and the next one is told all
	}
}

// send publishes body through the first hub whose link stands: as long as that
// is the same one, order is kept. sent is false if there is none.
func (h *hubs) send(body []byte) (sent bool, err error) {
	for _, l := range h.list {
		first, err := l.Append(link.Control, 0, pb.HubPublishID, body)
		if first {
			h.unsaid = l
			select {
			case h.wake <- struct{}{}:
			default:
			}
		}
		if err == nil || errors.Is(err, cellnet.ErrFull) {
			return err == nil, inWords(err)
		}
	}
	return false, nil
}

func inWords(err error) error {
	if errors.Is(err, cellnet.ErrFull) {
		return ErrFull
	}
	return err
}

// keep puts a message at the end of the backlog, which loses its oldest when it
// is full.
func (h *hubs) keep(body []byte) {
	h.backlog = append(h.backlog, body)
	h.bytes += len(body)
	for len(h.backlog) > maxBacklog || h.bytes > maxBacklogBytes && len(h.backlog) > 1 {
		h.pop()
		h.events.Dropped()
	}
}

func (h *hubs) pop() {
	h.bytes -= len(h.backlog[0])
	h.backlog[0] = nil
	if h.backlog = h.backlog[1:]; len(h.backlog) == 0 {
		h.backlog = nil
	}
}

// sendBacklog publishes what has waited, as far as there is a hub. The error is
// about the last message.
func (h *hubs) sendBacklog() (err error) {
	for len(h.backlog) > 0 {
		sent, failed := h.send(h.backlog[0])
		if !sent && failed == nil {
			return nil // it waits
		}
		h.pop()
		if err = failed; err != nil {
			h.events.Dropped()
		}
	}
	return err
}

// incoming hands over what one hub brings.
type incoming struct {
	hubs *hubs
	link *link.Link
	p    pb.HubPublish
}

// Frame implements link.Receiver.
func (in *incoming) Frame(f link.Frame) error {
	in.p.Reset()
	if err := in.p.DecodeInPlace(f.Body); err != nil {
		return fmt.Errorf("decode HubPublish: %w", err)
	}
	for _, r := range in.hubs.subs.Match(in.p.Channel) {
		r.deliver(&in.p, in.link)
	}
	return nil
}

// Batch implements link.Receiver.
func (in *incoming) Batch() {}

// Down implements link.Receiver.
func (in *incoming) Down(error) {}
