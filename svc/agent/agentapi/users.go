package agentapi

import (
	"sync"

	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/proto/pb"
)

// usersBatch is how many users one message lists: some 50 KB, far below the
// largest frame of a link.
const usersBatch = 1000

// users are those that this backend has let in, so that agents can be told. The
// zero value is ready.
type users struct {
	mu sync.Mutex
	in map[string]*Client // by uid: the client of the newest login
}

// LetIn makes the session of c, which has an identity, the only one of its uid:
// every agent closes those of older logins, now, or when its link is back. It is
// for the one service that decides who plays; call it after Bind, and in Opened.
// LetOut takes it back.
func (s *Server) LetIn(c *Client) {
	who := c.Who()
	s.users.mu.Lock()
	if old := s.users.in[who.UID]; old == nil || old.Who().Epoch <= who.Epoch {
		if s.users.in == nil {
			s.users.in = map[string]*Client{}
		}
		s.users.in[who.UID] = c
	}
	s.users.mu.Unlock()
	// A link that comes up from here on finds c in the list.
	m := &pb.UsersIn{Users: []*pb.UsersIn_User{{Uid: who.UID, Epoch: who.Epoch}}}
	for _, l := range s.links.Named("agent") {
		if l != c.link { // that one knows by the binding
			l.Send(0, m) // fails if it has ended: then it is told when it is back
		}
	}
}

// LetOut is called for every client that LetIn was called for, when it is gone.
func (s *Server) LetOut(c *Client) {
	s.users.mu.Lock()
	defer s.users.mu.Unlock()
	if uid := c.Who().UID; s.users.in[uid] == c {
		delete(s.users.in, uid)
	}
}

// tellUsers tells an agent whose link has come up who is in: it may have missed
// some.
func (s *Server) tellUsers(l *link.Link) {
	if l.Name != "agent" {
		return
	}
	s.users.mu.Lock()
	all := make([]*pb.UsersIn_User, 0, len(s.users.in))
	for uid, c := range s.users.in {
		all = append(all, &pb.UsersIn_User{Uid: uid, Epoch: c.Who().Epoch})
	}
	s.users.mu.Unlock()
	for len(all) > 0 {
		n := min(len(all), usersBatch)
		if l.Send(0, &pb.UsersIn{Users: all[:n]}) != nil {
			return // it has ended: the next one is told
		}
		all = all[n:]
	}
}
