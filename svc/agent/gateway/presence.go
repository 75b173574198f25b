package gateway

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/proto/pb"
)

// feeds tell those backends that asked for it who is here. The zero value is
// ready.
type feeds struct {
	mu  sync.Mutex              // of who changes all
	all atomic.Pointer[[]*feed] // replaced, never changed
}

func (fs *feeds) list() []*feed {
	if all := fs.all.Load(); all != nil {
		return *all
	}
	return nil
}

// changed is told that a uid is here, is no longer, or has changed, after the
// fact; gone is the epoch of a login that has left, or 0.
func (fs *feeds) changed(uid string, gone uint64) {
	for _, f := range fs.list() {
		f.add(uid, gone)
	}
}

// begin tells the backend at l who is here, and from then on what changes.
func (fs *feeds) begin(g *Gateway, l *link.Link) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	all := fs.list()
	if slices.ContainsFunc(all, func(f *feed) bool { return f.link == l }) {
		return
	}
	f := &feed{g: g, link: l, wake: make(chan struct{}, 1), over: make(chan struct{}), dirty: map[string]uint64{}}
	all = append(slices.Clone(all), f)
	fs.all.Store(&all)
	for _, uid := range g.users.uids() { // whoever comes or goes from here on is added by that
		f.add(uid, 0)
	}
	poke(f.wake) // there may be nobody
	g.app.Go("presence for "+l.ID, f.run)
}

// end ends what begin began, if it did.
func (fs *feeds) end(l *link.Link) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	all := slices.Clone(fs.list())
	if i := slices.IndexFunc(all, func(f *feed) bool { return f.link == l }); i >= 0 {
		close(all[i].over)
		all = slices.Delete(all, i, i+1)
		fs.all.Store(&all)
	}
}

// feed tells one backend. It remembers only about whom there is something to
// tell: what is told is how things are then, so that a backend that is slow gets
// less, not more.
type feed struct {
	g    *Gateway
	link *link.Link
	wake chan struct{} // holds one
	over chan struct{} // closed when the link has ended

	mu    sync.Mutex // a leaf: nothing is locked under it
	dirty map[string]uint64
}

// maxDirty is about how many uids there may be something to tell. More means
// that the backend has taken nothing for long: its link is ended, and the next
// one begins with a list.
const maxDirty = 1 << 20

var errDeaf = errors.New("agent: the backend does not take what it asked for: who is here")

func (f *feed) add(uid string, gone uint64) {
	f.mu.Lock()
	f.dirty[uid] = max(f.dirty[uid], gone)
	n := len(f.dirty)
	f.mu.Unlock()
	if n > maxDirty {
		f.link.Close(errDeaf)
	}
	poke(f.wake)
}

// run tells, until the link or the process ends.
func (f *feed) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for complete := false; ; {
		select {
		case <-f.wake:
		case <-f.over:
			return nil
		case <-ctx.Done():
			return nil
		}
		f.mu.Lock()
		dirty := f.dirty
		f.dirty = map[string]uint64{}
		f.mu.Unlock()
		if !f.tell(ctx, dirty, !complete) {
			return nil
		}
		complete = true
		if !f.rest(ctx) {
			return nil
		}
	}
}

// rest pauses; false when there is nobody to tell any more.
func (f *feed) rest(ctx context.Context) bool {
	return pause(ctx, breath) && f.link.Ended() == nil
}

// presenceBatch is how many users one message lists: some 30 KB, far below the
// largest frame of a link.
const presenceBatch = 500

// tell tells how things are with some uids; false when there is nobody to tell
// any more. last says that everybody has been told of with them.
func (f *feed) tell(ctx context.Context, dirty map[string]uint64, last bool) bool {
	var m pb.Presence
	for uid, gone := range dirty {
		if u := f.g.users.who(uid); u != nil {
			m.Here = append(m.Here, &pb.Presence_User{Uid: u.uid, Epoch: u.epoch, Name: u.name, Features: u.features})
		} else if gone != 0 {
			m.Gone = append(m.Gone, &pb.Presence_User{Uid: uid, Epoch: gone})
		}
		if len(m.Here)+len(m.Gone) == presenceBatch {
			if !f.say(ctx, &m) {
				return false
			}
			m = pb.Presence{}
		}
	}
	m.Complete = last
	if !last && len(m.Here)+len(m.Gone) == 0 {
		return true
	}
	return f.say(ctx, &m)
}

// say sends one message, as soon as the backend keeps up; false when there is
// nobody to tell any more.
func (f *feed) say(ctx context.Context, m *pb.Presence) bool {
	for f.link.Pending() > maxAhead {
		if !f.rest(ctx) {
			return false
		}
	}
	for {
		first, err := appendControl(f.link, 0, m)
		if first {
			f.link.Flush()
		}
		if err == nil {
			f.g.told.Add(int64(len(m.Here) + len(m.Gone)))
			return true
		}
		if !f.rest(ctx) { // it is full: later; or it has ended
			return false
		}
	}
}
