package gateway_test

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/agent/agentapi"
	"github.com/davyxu/cellmesh_demo/tool/cluster"
	"github.com/davyxu/cellmesh_demo/util/msgmux"
)

// stub is a backend that takes every token for the uid it spells, echoes, and
// remembers what happened.
type stub struct {
	*cluster.Process
	clients *agentapi.Server
	greets  bool // wants to be introduced to everybody at once

	mu     sync.Mutex
	events []string
	byUID  map[string]*agentapi.Client
	has    map[*agentapi.Client]bool // those that were opened, and not closed yet
}

// stub starts a stub backend and waits until it is ready.
func (r *rig) stub(t testing.TB, name string, flags ...string) *stub {
	t.Helper()
	return r.start(name, &stub{byUID: map[string]*agentapi.Client{}}, flags...)
}

// greeter starts a stub social that wants to know everybody.
func (r *rig) greeter(t testing.TB, flags ...string) *stub {
	t.Helper()
	return r.start("social", &stub{byUID: map[string]*agentapi.Client{}, greets: true}, flags...)
}

func (r *rig) start(name string, s *stub, flags ...string) *stub {
	s.Process = r.LaunchAs(name, func(*flag.FlagSet) basefx.Service { return s }, flags...).WaitReady()
	return s
}

func (s *stub) Start(ctx context.Context, app *basefx.App) (err error) {
	s.clients, err = agentapi.Serve(ctx, app, s)
	if s.greets && err == nil {
		s.clients.Greet()
	}
	return err
}

func (s *stub) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, fmt.Sprintf(format, args...))
}

func (s *stub) know(c *agentapi.Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byUID[c.Who().UID] = c
}

func (s *stub) Opened(_ context.Context, c *agentapi.Client) error {
	s.know(c)
	s.note("opened %s", c.Who().UID)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.has == nil {
		s.has = map[*agentapi.Client]bool{}
	}
	s.has[c] = true
	return nil
}

func (s *stub) Message(_ context.Context, c *agentapi.Client, id uint16, body []byte) (msgmux.Message, error) {
	switch id {
	case pb.VerifyREQID:
		var m pb.VerifyREQ
		if err := proto.Unmarshal(body, &m); err != nil {
			return nil, err
		}
		if err := c.Bind(agentapi.Identity{UID: m.GameToken, Epoch: 1, Features: m.Features, Name: strings.ToTitle(m.GameToken)}); err != nil {
			return nil, err
		}
		s.know(c)
		s.note("verified %s", m.GameToken)
		return &pb.VerifyACK{}, nil
	case pb.EchoREQID:
		var m pb.EchoREQ
		if err := proto.Unmarshal(body, &m); err != nil {
			return nil, fmt.Errorf("%w: %w", msgmux.ErrMalformed, err)
		}
		return &pb.EchoACK{Content: m.Content}, nil
	}
	s.note("%s from %q", pb.MessageName(id), c.Who().UID)
	return nil, nil
}

func (s *stub) Closed(_ context.Context, c *agentapi.Client, reason string) {
	s.note("closed %s: %s", c.Who().UID, reason)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.has, c)
}

// holds are the uids of the clients that were introduced and are not closed,
// sorted.
func (s *stub) holds() (uids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.has {
		uids = append(uids, c.Who().UID)
	}
	slices.Sort(uids)
	return uids
}

// client is a client that the stub knows.
func (s *stub) client(t testing.TB, uid string) *agentapi.Client {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.byUID[uid]
	if c == nil {
		t.Fatalf("the %s does not know %s", s.Name, uid)
	}
	return c
}

func (s *stub) happened(event string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.events, event)
}

func (s *stub) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.events)
}

// wantEvent waits until something has happened.
func (s *stub) wantEvent(t testing.TB, event string) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("%s: %q", s.Name, s.all())
		}
	}()
	cluster.Eventually(t, s.Name+": "+event, func() bool { return s.happened(event) })
}

// line is a backend that sees what comes on the line: every frame of its agents,
// in order, and answers nothing by itself. Its link is hardly read while it is
// held.
type line struct {
	*cluster.Process
	hold func() // called before each event, unless nil

	mu     sync.Mutex
	events []string
	ids    []uint64 // of clients, in the order of their first frame
	agent  *link.Link
}

// held holds an event back until released, but no longer than most: a link on
// which nothing moves for 10 s is cut, and a test may take longer on a slow
// machine.
func held(released <-chan struct{}, most time.Duration) func() {
	return func() {
		select {
		case <-released:
		case <-time.After(most):
		}
	}
}

// line starts such a backend.
func (r *rig) line(t testing.TB, name string, hold func(), flags ...string) *line {
	t.Helper()
	s := &line{hold: hold}
	s.Process = r.LaunchAs(name, func(*flag.FlagSet) basefx.Service { return s }, flags...).WaitReady()
	return s
}

func (s *line) Start(_ context.Context, app *basefx.App) error {
	app.Links.Receive("agent", func(l *link.Link) link.Receiver {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.agent = l
		return s
	})
	link.Handle(app.Links, func(_ *link.Link, id uint64, m *pb.ClientOpen) error {
		s.note(id, "open "+m.Uid)
		return nil
	})
	link.Handle(app.Links, func(_ *link.Link, id uint64, m *pb.ClientClosed) error {
		s.note(id, "closed "+m.Reason)
		return nil
	})
	link.Handle(app.Links, func(*link.Link, uint64, *pb.RetireACK) error {
		s.note(0, "retired")
		return nil
	})
	return app.AcceptLinks()
}

func (s *line) note(id uint64, event string) {
	if s.hold != nil {
		s.hold()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.ids, id) {
		s.ids = append(s.ids, id)
	}
	s.events = append(s.events, event)
}

func (s *line) Frame(f link.Frame) error {
	s.note(f.Client, pb.MessageName(f.ID))
	return nil
}

func (s *line) Batch()     {}
func (s *line) Down(error) {}

// wantEvents waits until exactly this has happened.
func (s *line) wantEvents(t testing.TB, want ...string) {
	t.Helper()
	var got []string
	defer func() {
		if t.Failed() {
			t.Logf("%s got %q, want %q", s.Name, got, want)
		}
	}()
	cluster.Eventually(t, fmt.Sprintf("%s gets what it should", s.Name), func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		got = slices.Clone(s.events)
		return slices.Equal(got, want)
	})
}

// id is the number of the i-th client.
func (s *line) id(i int) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ids[i]
}

// control sends a control message to the agent.
func (s *line) control(t testing.TB, client uint64, m pb.Message) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.agent.Send(client, m); err != nil {
		t.Fatal(err)
	}
}

// push sends a message to a client.
func (s *line) push(t testing.TB, client uint64, m pb.Message) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.agent.Append(link.ToClient, client, m.MsgID(), []byte(encode(t, m))); err != nil {
		t.Fatal(err)
	}
	s.agent.Flush()
}
