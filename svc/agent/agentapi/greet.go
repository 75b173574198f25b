package agentapi

import (
	"sync"

	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/proto/pb"
)

// Greet asks every agent to introduce each verified client to one instance of
// this service at once, without waiting for its first message: Handler.Opened is
// called when it is verified, or, if that was before, when this instance has
// come up; and at another instance when this one has gone. Clients are spread
// evenly: new ones go where there are few. What agents say about who is online
// is kept from then on (Online, Deliver).
//
// An instance that stops leaves discovery first, so that no new client comes to
// it; those it has move when its links end, without loss after Retire. Of one that
// is killed the messages on their way to it are lost, and nothing comes twice.
//
// Of the clients that are introduced so, Opened runs for at most 256 at a time.
// For Start only, after Serve.
func (s *Server) Greet() {
	s.greets = true
	s.app.Go("presence", s.presence.keep)
	s.app.Gauge("backend_online", "Players online, at all agents.", nil, func() float64 { return float64(s.OnlineCount()) })
	s.links.OnUp(func(l *link.Link) {
		if l.Name == "agent" {
			l.Send(0, &pb.Greet{}) // fails if it has ended
		}
	})
}

// maxWelcomes is how many clients' Opened run at a time: an agent may introduce
// as many as it has in one breath, and Opened may ask a database.
const maxWelcomes = 256

// welcomes are the clients that wait for Opened. The zero value is ready.
type welcomes struct {
	mu      sync.Mutex
	queue   []*Client
	workers int
}

// welcome has c's Opened called, before all its messages.
func (s *Server) welcome(c *Client) error {
	if !s.greets || !c.box.Enter() { // it has sent something before it was verified
		return c.box.Post(item{kind: opened})
	}
	w := &s.welcomes
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queue = append(w.queue, c)
	if w.workers < maxWelcomes {
		w.workers++
		s.boxes.Go(s.welcomeAll)
	}
	return nil
}

// welcomeAll welcomes clients until nobody waits.
func (s *Server) welcomeAll() {
	w := &s.welcomes
	for {
		w.mu.Lock()
		if len(w.queue) == 0 {
			w.queue = nil
			w.workers--
			w.mu.Unlock()
			return
		}
		c := w.queue[0]
		w.queue[0] = nil
		w.queue = w.queue[1:]
		w.mu.Unlock()
		c.handle(item{kind: opened})
		c.link.Flush()
		c.box.Leave(false)
	}
}

// clientName is an agent saying that a client's player is called otherwise now.
func (s *Server) clientName(l *link.Link, id uint64, m *pb.ClientName) error {
	if a := s.agentOf(l); a != nil {
		if c := a.known(id); c != nil {
			c.rename(m.Name)
		}
	}
	return nil
}

// rename changes the name in the client's identity.
func (c *Client) rename(name string) {
	for {
		old := c.who.Load()
		if old == nil {
			return
		}
		who := *old
		who.Name = name
		if c.who.CompareAndSwap(old, &who) {
			return
		}
	}
}

// SetName tells the client's agent, and through it everybody who knows the
// player, what the player is called now. For the one service that knows it.
func (c *Client) SetName(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	c.rename(name)
	return c.control(&pb.ClientName{Name: name})
}
