package agentapi

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/proto/pb"
)

// User is a player who is online: verified, at some agent.
type User struct {
	UID, Name string
	Epoch     uint64 // of the login
	Features  uint32 // sum of pb.VerifyREQ_Feature values
	Agent     string // svcid of the agent that has the client
}

// absence is how long the users of an agent whose link has ended count as online
// yet: most links are back at once.
const absence = 3 * time.Second

// presence is who is online, as agents say. The zero value is ready.
type presence struct {
	mu    sync.RWMutex
	users map[string]present // by uid: the newest login
	lost  []lostAgent
}

// present is one user.
type present struct {
	name     string
	epoch    uint64
	features uint32
	at       *agent // the link that has said so
}

// lostAgent is a link that has ended; until is when its users are gone, unless
// the next link has named them by then.
type lostAgent struct {
	at    *agent
	until time.Time
}

func (p present) user(uid string) User {
	return User{UID: uid, Name: p.name, Epoch: p.epoch, Features: p.features, Agent: p.at.link.ID}
}

// here takes what an agent says of a user that it has.
func (ps *presence) here(uid string, u present) {
	if ps.users == nil {
		ps.users = map[string]present{}
	}
	if old, is := ps.users[uid]; !is || old.epoch <= u.epoch {
		ps.users[uid] = u
	}
}

// enter is here for one user whose client was introduced.
func (ps *presence) enter(who *Identity, at *agent) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.here(who.UID, present{name: who.Name, epoch: who.Epoch, features: who.Features, at: at})
}

// hear takes what an agent says.
func (ps *presence) hear(at *agent, m *pb.Presence) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for _, u := range m.Here {
		ps.here(u.Uid, present{name: u.Name, epoch: u.Epoch, features: u.Features, at: at})
	}
	for _, u := range m.Gone {
		if old, is := ps.users[u.Uid]; is && old.at == at && old.epoch <= u.Epoch {
			delete(ps.users, u.Uid)
		}
	}
	if m.Complete { // whom an earlier link has named and this one has not is gone
		ps.forget(func(l lostAgent) bool { return l.at.link.ID == at.link.ID })
	}
}

// lose is told that an agent's link has ended, and until when it may come back.
func (ps *presence) lose(at *agent, until time.Time) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.lost = append(ps.lost, lostAgent{at, until})
}

// expire forgets the users of agents that were lost too long ago.
func (ps *presence) expire(now time.Time) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.forget(func(l lostAgent) bool { return !now.Before(l.until) })
}

// forget forgets the users of those lost agents that over says. The caller holds
// mu.
func (ps *presence) forget(over func(lostAgent) bool) {
	gone := map[*agent]bool{}
	ps.lost = slices.DeleteFunc(ps.lost, func(l lostAgent) bool {
		is := over(l)
		if is {
			gone[l.at] = true
		}
		return is
	})
	if len(gone) == 0 {
		return
	}
	for uid, u := range ps.users {
		if gone[u.at] {
			delete(ps.users, uid)
		}
	}
}

// keep expires what must be, as long as the process runs.
func (ps *presence) keep(ctx context.Context) error {
	look := time.NewTicker(absence / 6)
	defer look.Stop()
	for {
		select {
		case now := <-look.C:
			ps.expire(now)
		case <-ctx.Done():
			return nil
		}
	}
}

func (ps *presence) find(uid string) (present, bool) {
	ps.mu.RLock()
	defer ps.mu.RUnlock()
	u, is := ps.users[uid]
	return u, is
}

// Online is a player who is online, at whatever agent; false if the player is
// not. Only after Greet.
func (s *Server) Online(uid string) (User, bool) {
	u, is := s.presence.find(uid)
	if !is {
		return User{}, false
	}
	return u.user(uid), true
}

// OnlineCount is how many players are online. Only after Greet.
func (s *Server) OnlineCount() int {
	s.presence.mu.RLock()
	defer s.presence.mu.RUnlock()
	return len(s.presence.users)
}

// OnlineUsers are the players who are online, sorted by uid, the first max of
// them. Only after Greet.
func (s *Server) OnlineUsers(max int) []User {
	ps := &s.presence
	ps.mu.RLock()
	defer ps.mu.RUnlock()
	if max <= 0 {
		return nil
	}
	var uids []string
	least := func() {
		slices.Sort(uids)
		uids = uids[:min(len(uids), max)]
	}
	for uid := range ps.users {
		if uids = append(uids, uid); len(uids) == 2*max {
			least()
		}
	}
	least()
	users := make([]User, len(uids))
	for i, uid := range uids {
		users[i] = ps.users[uid].user(uid)
	}
	return users
}

// sortUsers sorts by uid, and leaves of each uid the newest login.
func sortUsers(users []User) []User {
	slices.SortFunc(users, func(a, b User) int {
		if c := strings.Compare(a.UID, b.UID); c != 0 {
			return c
		}
		return cmp.Compare(b.Epoch, a.Epoch)
	})
	return slices.CompactFunc(users, func(a, b User) bool { return a.UID == b.UID })
}

// agentLost is told that an agent's link has ended. One that has left discovery has
// stopped: nobody waits for it.
func (s *Server) agentLost(a *agent) {
	now := time.Now()
	if svc, is := s.app.Registry.Snapshot().Service(a.link.ID); is && svc.Epoch == a.link.Epoch {
		s.presence.lose(a, now.Add(absence))
		return
	}
	s.presence.lose(a, now)
	s.presence.expire(now)
}

// heard is an agent saying who is there.
func (s *Server) heard(l *link.Link, _ uint64, m *pb.Presence) error {
	if a := s.agentOf(l); a != nil && s.greets {
		s.presence.hear(a, m)
		a.listed = a.listed || m.Complete
	}
	return nil
}
