package agentapi

import (
	"context"
	"fmt"
	"math"

	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/proto/pb"
)

// MaxBody is the largest body in bytes of a message to a client: a frame's u16
// size counts the message ID too.
const MaxBody = math.MaxUint16 - 2

// What one client may let wait for its turn, in messages and in bytes. What
// comes on top is refused with ServiceBusy.
const (
	maxWaiting      = 1024
	maxWaitingBytes = 1 << 20
)

// item is something in a client's mailbox.
type item struct {
	kind   itemKind
	id     uint16
	body   *[]byte // of a message, from bufs
	reason string  // of a close
	do     func(context.Context)
}

type itemKind uint8

const (
	opened itemKind = iota
	message
	closed
	call
)

// agent is one agent's link and its clients. It belongs to the goroutine that
// reads the link.
type agent struct {
	srv     *Server
	link    *link.Link
	clients []*Client // by slot, the lower half of the agent's number
	dirty   bool      // something was appended in this batch
	room    *[]byte   // to encode replies in; nil while a handler runs
	turns   turns
	listed  bool // it has said who is there
	retired bool // it sends no more messages of clients
}

// maxSlot bounds the numbers that an agent may give its clients.
const maxSlot = 1 << 22

func (s *Server) open(l *link.Link) link.Receiver {
	a := &agent{srv: s, link: l, turns: turns{over: make(chan struct{})}}
	s.mu.Lock()
	s.agents[l] = a
	s.mu.Unlock()
	return a
}

func (s *Server) agentOf(l *link.Link) *agent {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.agents[l]
}

func (s *Server) clientOpen(l *link.Link, id uint64, m *pb.ClientOpen) error {
	a := s.agentOf(l)
	if a == nil {
		return fmt.Errorf("agentapi: %s is no agent, yet introduced a client", l.ID)
	}
	if m.Uid == "" || a.retired {
		return nil // not verified: known by its first message; or another instance's soon
	}
	c, err := a.client(id)
	if err != nil {
		return err
	}
	who := &Identity{UID: m.Uid, Epoch: m.Epoch, Features: m.Features, Name: m.Name}
	c.who.Store(who)
	c.setGroups(m.Groups)
	if a.listed { // else it is about to: one who leaves before is told by nobody
		s.presence.enter(who, a)
	}
	if err := s.welcome(c); err != nil {
		s.logFailure(c, "ClientOpen", err) // as good as impossible: more messages wait than an unverified client can send
	}
	return nil
}

func (s *Server) clientClosed(l *link.Link, id uint64, m *pb.ClientClosed) error {
	if a := s.agentOf(l); a != nil {
		a.drop(id, m.Reason)
	}
	return nil
}

// client is the client that the agent numbers id, made if it is not known.
func (a *agent) client(id uint64) (*Client, error) {
	slot := int(uint32(id))
	if slot < len(a.clients) {
		c := a.clients[slot]
		if c != nil && c.id == id {
			return c, nil
		}
		if c != nil {
			a.drop(c.id, "its place was given to another client")
		}
	}
	if slot >= maxSlot {
		return nil, fmt.Errorf("agentapi: %s numbers a client %d", a.link.ID, id)
	}
	for slot >= len(a.clients) {
		a.clients = append(a.clients, nil)
	}
	c := &Client{srv: a.srv, link: a.link, id: id}
	c.box.Init(&a.srv.boxes, maxWaiting, c.handle, c.link.Flush)
	a.clients[slot] = c
	a.srv.clients.Add(1)
	return c, nil
}

// known is the client that the agent numbers id, nil if it is not known.
func (a *agent) known(id uint64) *Client {
	if slot := int(uint32(id)); slot < len(a.clients) && a.clients[slot] != nil && a.clients[slot].id == id {
		return a.clients[slot]
	}
	return nil
}

// drop forgets a client, if it is known, and closes what it has here.
func (a *agent) drop(id uint64, reason string) {
	if c := a.known(id); c != nil {
		a.clients[uint32(id)] = nil
		c.box.Close(item{kind: closed, reason: reason})
	}
}

// Frame handles a client's message, here if it can, else in the client's
// mailbox.
func (a *agent) Frame(f link.Frame) error {
	if f.Kind != link.ToClient {
		return fmt.Errorf("agentapi: frame kind %d from an agent", f.Kind)
	}
	c, err := a.client(f.Client)
	if err != nil {
		return err
	}
	if !a.turns.spread.Load() && !(a.srv.blocks != nil && a.srv.blocks(f.ID)) && c.box.Enter() {
		return a.runHere(c, f)
	}
	if !a.post(c, f) {
		a.srv.busy.Add(1)
		c.reject(f.ID, pb.ResultCode_ServiceBusy, "too many messages wait already")
		a.dirty = true
	}
	return nil
}

// post reports false when the client lets too much wait.
func (a *agent) post(c *Client, f link.Frame) bool {
	size := int64(len(f.Body))
	if c.waiting.Load()+size > maxWaitingBytes {
		return false
	}
	buf := a.srv.getBuf()
	*buf = append((*buf)[:0], f.Body...)
	c.waiting.Add(size)
	if err := c.box.Post(item{kind: message, id: f.ID, body: buf}); err != nil {
		c.waiting.Add(-size)
		a.srv.putBuf(buf)
		return false
	}
	return true
}

// Batch writes what was appended here; mailboxes do it when they run empty.
func (a *agent) Batch() {
	if a.dirty {
		a.dirty = false
		a.link.Flush()
	}
}

// Down closes what the agent's clients have here.
func (a *agent) Down(reason error) {
	a.srv.mu.Lock()
	delete(a.srv.agents, a.link)
	a.srv.mu.Unlock()
	a.srv.calls.lose(a.link)
	if a.srv.greets {
		a.srv.agentLost(a)
	}
	a.closeAll(fmt.Sprintf("agent %s: %v", a.link.ID, reason))
	close(a.turns.over)
}

// closeAll forgets all clients, and closes what they have here.
func (a *agent) closeAll(reason string) {
	for _, c := range a.clients {
		if c != nil {
			c.box.Close(item{kind: closed, reason: reason})
		}
	}
	a.clients = nil
}
