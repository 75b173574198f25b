package gateway

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/proto/pb"
)

// users finds clients by uid, and sees to it that a uid has one session: that
// of its newest login. Of older ones the client is closed, when a game says
// that a newer one is in, or when a newer one comes in here; and a binding that
// arrives late, after news of a newer login, is refused.
type users struct {
	mu sync.Mutex // a leaf: nothing is locked under it
	in map[string]login

	// The highest epoch heard of a uid lately, in two generations: what is heard
	// is remembered for memory at least, twice that at most. That must be longer
	// than a binding may be on its way, which a link's silence bounds (15 s).
	young, old map[string]uint64
	since      time.Time // of young
}

// login is one login of a uid, and its client.
type login struct {
	client *client
	epoch  uint64
}

// How long, and of how many uids in one generation, epochs are remembered. More
// push out the older generation early.
const (
	memory    = time.Minute
	maxMemory = 100_000
)

// age forgets what was heard long ago. The caller holds mu.
func (s *users) age(now time.Time) {
	age := now.Sub(s.since)
	if s.young != nil && age <= memory && len(s.young) < maxMemory {
		return
	}
	if age > 2*memory {
		s.young = nil
	}
	s.old, s.young, s.since = s.young, map[string]uint64{}, now
}

// note remembers an epoch. The caller holds mu.
func (s *users) note(uid string, epoch uint64) {
	s.young[uid] = max(epoch, s.young[uid], s.old[uid])
}

// newest is the highest epoch known of a uid. The caller holds mu.
func (s *users) newest(uid string) uint64 {
	return max(s.young[uid], s.old[uid], s.in[uid].epoch)
}

// enter makes c the client of a login; false if there is a newer one. older is
// the client that has been the uid's: close it. The caller holds c.mu, and c is
// not closed.
func (s *users) enter(c *client, uid string, epoch uint64, now time.Time) (older *client, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.age(now)
	if s.newest(uid) > epoch {
		return nil, false
	}
	s.note(uid, epoch)
	if older = s.in[uid].client; older == c {
		older = nil
	}
	if s.in == nil {
		s.in = map[string]login{}
	}
	s.in[uid] = login{c, epoch}
	return older, true
}

// heard takes the news of a login; older is the client that it ends: close it.
func (s *users) heard(uid string, epoch uint64, now time.Time) (older *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.age(now)
	s.note(uid, epoch)
	if in := s.in[uid]; in.epoch < epoch {
		return in.client
	}
	return nil
}

// leave is called for every client that is gone.
func (s *users) leave(c *client) {
	u := c.user.Load()
	if u == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.in[u.uid].client == c {
		delete(s.in, u.uid)
	}
}

// client is the one that a uid has, nil if there is none.
func (s *users) client(uid string) *client {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.in[uid].client
}

// who is who has the uid, as it is known to all; nil if nobody does.
func (s *users) who(uid string) *user {
	if c := s.client(uid); c != nil {
		if u := c.user.Load(); u != nil && u.uid == uid {
			return u
		}
	}
	return nil
}

// uids are all that have a client.
func (s *users) uids() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.in))
}

func (s *users) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.in)
}

// usersIn is a game saying who has come in there.
func (g *Gateway) usersIn(l *link.Link, _ uint64, m *pb.UsersIn) error {
	now := time.Now()
	for _, u := range m.Users {
		if c := g.users.heard(u.Uid, u.Epoch, now); c != nil {
			g.log.Debug("logged in elsewhere", "uid", u.Uid, "epoch", u.Epoch, "backend", l.ID)
			c.session.Close(elsewhere)
		}
	}
	return nil
}
