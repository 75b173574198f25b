package agentapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/util/mailbox"
	"github.com/davyxu/cellmesh_demo/util/msgmux"
)

// maxWaiting bounds the messages of one client that wait for their turn. What
// comes on top is refused with ServiceBusy.
const maxWaiting = 1024

// Handler is a backend's side of its clients. For one client the calls come
// one after the other: Opened (if the agent introduced it), Message ..., Closed.
type Handler interface {
	// Opened is called for a client that is verified already: its agent has
	// chosen this backend for it, anew or in place of one that went away.
	Opened(ctx context.Context, c *Client) error
	// Message handles one message; body is valid until it returns. The reply,
	// if not nil, goes to the client; the error goes to the log, and to
	// clients that understand it as InternalError.
	Message(ctx context.Context, c *Client, id uint16, body []byte) (msgmux.Message, error)
	// Closed is the last call: the client or its agent is gone.
	Closed(ctx context.Context, c *Client, reason string)
}

// Server is a backend's view of all clients of all agents.
type Server struct {
	ctx     context.Context
	log     *slog.Logger
	links   *link.Links
	handler Handler
	boxes   mailbox.Group
	bufs    sync.Pool // *[]byte: copies of bodies that wait, encoded replies

	mu     sync.Mutex
	agents map[*link.Link]*agent

	clients, lost, refused, failed, panics atomic.Int64
}

// item is something in a client's mailbox.
type item struct {
	kind   itemKind
	id     uint16
	body   *[]byte // of a message, from bufs
	reason string  // of a close
}

type itemKind uint8

const (
	opened itemKind = iota
	message
	closed
)

// Serve accepts links and handles what agents bring. ctx is the one that
// Start was given.
func Serve(ctx context.Context, app *basefx.App, h Handler) (*Server, error) {
	s := &Server{ctx: ctx, log: app.Logger("clients"), links: app.Links, handler: h, agents: map[*link.Link]*agent{}}
	s.bufs.New = func() any { b := make([]byte, 0, 256); return &b }
	app.Links.Receive("agent", s.open)
	link.Handle(app.Links, s.clientOpen)
	link.Handle(app.Links, s.clientClosed)
	app.Finally(s.boxes.Wait)
	app.Gauge("backend_clients", "Clients this backend knows.", nil, func() float64 { return float64(s.clients.Load()) })
	for name, n := range map[string]*atomic.Int64{"lost": &s.lost, "refused": &s.refused, "failed": &s.failed, "panicked": &s.panics} {
		app.Counter("backend_messages_"+name+"_total", "Messages to clients lost because an agent was gone or full; of clients refused as theirs waited already; whose handler failed; whose handler panicked.", nil,
			func() float64 { return float64(n.Load()) })
	}
	return s, app.AcceptLinks()
}

// Check compares the handlers of a service with the messages that the .proto
// files route to it. The error names each that is missing or too much.
func Check(service string, muxes ...msgmux.Lister) error {
	must := map[uint16]string{}
	for _, m := range pb.HandledBy(service) {
		must[m.ID] = m.Name
	}
	return msgmux.Check(must, muxes...)
}

// Clients is the number of clients this backend knows.
func (s *Server) Clients() int { return int(s.clients.Load()) }

// Broadcast sends m to every verified client of every agent. The body is
// encoded once, and each agent gets it once.
func (s *Server) Broadcast(m pb.Message) error {
	body, err := marshalAppend(nil, m)
	if err != nil {
		return err
	}
	return s.toAgents(link.ToAll, m.MsgID(), body)
}

// SendGroup sends m to the members of a group on every agent: encoded once,
// one frame per agent.
func (s *Server) SendGroup(group string, m pb.Message) error {
	if len(group) > link.MaxGroup {
		return fmt.Errorf("group name of %d bytes: at most %d are allowed", len(group), link.MaxGroup)
	}
	body, err := marshalAppend(link.AppendGroup(nil, group), m)
	if err != nil {
		return err
	}
	return s.toAgents(link.ToGroup, m.MsgID(), body)
}

func (s *Server) toAgents(kind link.Kind, id uint16, body []byte) error {
	var all []error
	for _, l := range s.links.Named("agent") {
		all = append(all, s.appendFlush(l, kind, id, body))
	}
	return errors.Join(all...)
}

// SendTo sends m to the given clients: encoded once, one frame per agent.
func (s *Server) SendTo(clients []*Client, m pb.Message) error {
	ids := map[*link.Link][]uint64{}
	for _, c := range clients {
		ids[c.link] = append(ids[c.link], c.id)
	}
	var all []error
	for l, list := range ids {
		body, err := marshalAppend(link.AppendList(nil, list), m)
		if err != nil {
			return err
		}
		all = append(all, s.appendFlush(l, link.ToMany, m.MsgID(), body))
	}
	return errors.Join(all...)
}

func (s *Server) appendFlush(l *link.Link, kind link.Kind, id uint16, body []byte) error {
	first, err := l.Append(kind, 0, id, body)
	if err != nil {
		s.lost.Add(1)
		return fmt.Errorf("to %s: %w", l.ID, err)
	}
	if first {
		l.Flush()
	}
	return nil
}

// agent is one agent's link and its clients. The map belongs to the goroutine
// that reads the link.
type agent struct {
	srv     *Server
	link    *link.Link
	clients map[uint64]*Client
}

func (s *Server) open(l *link.Link) link.Receiver {
	a := &agent{srv: s, link: l, clients: map[uint64]*Client{}}
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
	if m.Uid == "" {
		return nil // not verified: known by its first message
	}
	c := a.client(id)
	c.who.Store(&Identity{m.Uid, m.Epoch, m.Features})
	if err := c.box.Post(item{kind: opened}); err != nil {
		s.refused.Add(1)
	}
	return nil
}

func (s *Server) clientClosed(l *link.Link, id uint64, m *pb.ClientClosed) error {
	if a := s.agentOf(l); a != nil {
		if c := a.clients[id]; c != nil {
			delete(a.clients, id)
			c.box.Close(item{kind: closed, reason: m.Reason})
		}
	}
	return nil
}

// client is the client that the agent numbers id, made if it is not known.
func (a *agent) client(id uint64) *Client {
	c := a.clients[id]
	if c == nil {
		c = &Client{srv: a.srv, link: a.link, id: id}
		c.box.Init(&a.srv.boxes, maxWaiting, c.handle, c.link.Flush)
		a.clients[id] = c
		a.srv.clients.Add(1)
	}
	return c
}

// Frame gives a client's message to its mailbox.
func (a *agent) Frame(f link.Frame) error {
	if f.Kind != link.ToClient {
		return fmt.Errorf("agentapi: frame kind %d from an agent", f.Kind)
	}
	c := a.client(f.Client)
	buf := a.srv.getBuf()
	*buf = append((*buf)[:0], f.Body...)
	if err := c.box.Post(item{kind: message, id: f.ID, body: buf}); err != nil {
		a.srv.putBuf(buf)
		a.srv.refused.Add(1)
		if first, _ := c.reject(f.ID, pb.ResultCode_ServiceBusy, "too many messages wait already"); first {
			c.link.Flush()
		}
	}
	return nil
}

// Batch has nothing to do: mailboxes flush when they run empty.
func (a *agent) Batch() {}

// Down closes what the agent's clients have here.
func (a *agent) Down(reason error) {
	a.srv.mu.Lock()
	delete(a.srv.agents, a.link)
	a.srv.mu.Unlock()
	for _, c := range a.clients {
		c.box.Close(item{kind: closed, reason: fmt.Sprintf("agent %s: %v", a.link.ID, reason)})
	}
	a.clients = nil
}

// handle runs one item of c's mailbox.
func (c *Client) handle(it item) {
	s := c.srv
	switch it.kind {
	case opened:
		if err := s.guard(func() error { return s.handler.Opened(s.ctx, c) }); err != nil {
			s.logFailure(c, "ClientOpen", err)
		}
	case message:
		reply, err := s.message(c, it)
		if err != nil {
			s.logFailure(c, pb.MessageName(it.id), err)
			c.reject(it.id, pb.ResultCode_InternalError, "the server failed on this message")
		} else if reply != nil {
			c.append(reply) // counted if lost
		}
	case closed:
		if err := s.guard(func() error { s.handler.Closed(s.ctx, c, it.reason); return nil }); err != nil {
			s.logFailure(c, "ClientClosed", err)
		}
		s.clients.Add(-1)
	}
}

func (s *Server) message(c *Client, it item) (reply msgmux.Message, err error) {
	defer s.putBuf(it.body)
	defer msgmux.Recover(&err)
	return s.handler.Message(s.ctx, c, it.id, *it.body)
}

// guard turns a panic of f into an error.
func (s *Server) guard(f func() error) (err error) {
	defer msgmux.Recover(&err)
	return f()
}

func (s *Server) logFailure(c *Client, what string, err error) {
	s.failed.Add(1)
	args := []any{"message", what, "uid", c.Who().UID, "agent", c.link.ID, "err", err}
	var p *msgmux.PanicError
	if errors.As(err, &p) {
		s.panics.Add(1)
		args = append(args, "stack", string(p.Stack))
	}
	s.log.Error("message failed", args...)
}

func (s *Server) getBuf() *[]byte { return s.bufs.Get().(*[]byte) }

// putBuf takes a buffer back; one that a large message grew is left to the
// collector.
func (s *Server) putBuf(b *[]byte) {
	if cap(*b) <= 8<<10 {
		s.bufs.Put(b)
	}
}

func marshalAppend(b []byte, m pb.Message) ([]byte, error) {
	b, err := proto.MarshalOptions{}.MarshalAppend(b, m)
	if err != nil {
		return b, fmt.Errorf("encode %s: %w", pb.MessageName(m.MsgID()), err)
	}
	return b, nil
}
