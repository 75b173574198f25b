package agentapi

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/util/mailbox"
	"github.com/davyxu/cellmesh_demo/util/msgmux"
	"github.com/davyxu/cellmesh_demo/util/rarely"
)

// Handler is a backend's side of its clients. For one client the calls come
// one after the other: Opened (if the agent introduced it), Message ..., Closed.
type Handler interface {
	// Opened is called for a client that is verified already: its agent has
	// chosen this backend for it, anew or in place of one that went away; or
	// another backend has verified a client that had sent messages before.
	Opened(ctx context.Context, c *Client) error
	// Message handles one message; body is valid until it returns. The reply,
	// if not nil, goes to the client. An error made by msgmux.Refuse, and a body
	// that does not parse, is told to clients that understand it; any other goes
	// to the log, and to the client as InternalError.
	Message(ctx context.Context, c *Client, id uint16, body []byte) (msgmux.Message, error)
	// Closed is the last call: the client or its agent is gone.
	Closed(ctx context.Context, c *Client, reason string)
}

// Blocker is a Handler that knows which messages take long as a rule, because it
// asks a database about them, say. Those run on goroutines of their own from the
// start, many at a time. (Others may block, too, but should do so rarely.)
type Blocker interface {
	Blocks(id uint16) bool
}

// Server is a backend's view of all clients of all agents.
type Server struct {
	ctx      context.Context
	log      *slog.Logger
	failures *rarely.Log // a client can cause failures as often as it likes
	app      *basefx.App
	links    *link.Links
	handler  Handler
	blocks   func(id uint16) bool // nil: nothing is known to
	users    users
	greets   bool // Greet was called
	presence presence
	welcomes welcomes
	calls    calls
	boxes    mailbox.Group
	bufs     sync.Pool // *[]byte: copies of bodies that wait, encoded replies

	spreading atomic.Int32 // agents whose clients' messages run on goroutines of their own

	mu     sync.Mutex
	agents map[*link.Link]*agent

	emptied chan struct{} // holds one: the last client may have gone

	clients, lost, busy, refused, failed, panics atomic.Int64
}

// Serve accepts links and handles what agents bring. ctx is the one that
// Start was given.
func Serve(ctx context.Context, app *basefx.App, h Handler) (*Server, error) {
	s := &Server{ctx: ctx, log: app.Logger("clients"), failures: rarely.New(), app: app, links: app.Links, handler: h, agents: map[*link.Link]*agent{}, emptied: make(chan struct{}, 1)}
	s.bufs.New = func() any { b := make([]byte, 0, 256); return &b }
	if b, ok := h.(Blocker); ok {
		s.blocks = b.Blocks
	}
	app.Links.Receive("agent", s.open)
	app.Links.GatherWhen(func() bool { return s.spreading.Load() > 0 })
	app.Links.OnUp(s.tellUsers)
	link.Handle(app.Links, s.clientOpen)
	link.Handle(app.Links, s.clientClosed)
	link.Handle(app.Links, s.clientName)
	link.Handle(app.Links, s.heard)
	link.Handle(app.Links, s.retired)
	link.Handle(app.Links, func(l *link.Link, _ uint64, m *pb.DeliverACK) error { s.calls.answer(l, m.Call, m); return nil })
	link.Handle(app.Links, func(l *link.Link, _ uint64, m *pb.MembersACK) error { s.calls.answer(l, m.Call, m); return nil })
	app.Finally(s.boxes.Wait)
	app.Gauge("backend_clients", "Clients this backend knows.", nil, func() float64 { return float64(s.clients.Load()) })
	for _, m := range []struct {
		name, help string
		n          *atomic.Int64
	}{
		{"lost", "Messages to clients lost because an agent was gone or did not keep up", &s.lost},
		{"busy", "Messages of clients refused because too many of theirs waited", &s.busy},
		{"refused", "Messages of clients that a handler refused, or that did not parse", &s.refused},
		{"failed", "Messages of clients whose handler failed", &s.failed},
		{"panicked", "Messages of clients whose handler panicked", &s.panics},
	} {
		app.Counter("backend_messages_"+m.name+"_total", m.help+".", nil, func() float64 { return float64(m.n.Load()) })
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

func (s *Server) getBuf() *[]byte { return s.bufs.Get().(*[]byte) }

// putBuf takes a buffer back; one that a large message grew is left to the
// collector.
func (s *Server) putBuf(b *[]byte) {
	if cap(*b) <= 8<<10 {
		s.bufs.Put(b)
	}
}

// marshalAppend appends the body of a message for clients to b.
func marshalAppend(b []byte, m pb.Message) ([]byte, error) {
	head := len(b)
	b, err := m.AppendTo(b)
	if err != nil {
		return b, fmt.Errorf("encode %s: %w", pb.MessageName(m.MsgID()), err)
	}
	if n := len(b) - head; n > MaxBody {
		return b, fmt.Errorf("%s of %d bytes: a client frame holds at most %d", pb.MessageName(m.MsgID()), n, MaxBody)
	}
	return b, nil
}
