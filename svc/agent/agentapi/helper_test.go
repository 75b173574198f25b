package agentapi_test

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/agent/agentapi"
	"github.com/davyxu/cellmesh_demo/tool/cluster"
	"github.com/davyxu/cellmesh_demo/util/discovery"
	"github.com/davyxu/cellmesh_demo/util/msgmux"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = time.Minute

// backend is a game in a process, whose handlers the test provides.
type backend struct {
	*cluster.Process
	*cluster.Cluster
	srv *agentapi.Server

	// Set before anything runs; nil does nothing.
	opened  func(*agentapi.Client) error
	message func(*agentapi.Client, uint16, []byte) (msgmux.Message, error)
	closed  func(*agentapi.Client, string)
	blocks  func(id uint16) bool
	greets  bool
}

func (b *backend) Blocks(id uint16) bool { return b.blocks != nil && b.blocks(id) }

// start runs b as a game.
func start(t testing.TB, b *backend) *backend {
	t.Helper()
	b.Cluster = cluster.New(t)
	b.Process = b.LaunchAs("game", func(*flag.FlagSet) basefx.Service { return b }).WaitReady()
	return b
}

func (b *backend) Start(ctx context.Context, app *basefx.App) (err error) {
	b.srv, err = agentapi.Serve(ctx, app, b)
	if b.greets && err == nil {
		b.srv.Greet()
	}
	return err
}

func (b *backend) Opened(_ context.Context, c *agentapi.Client) error {
	if b.opened == nil {
		return nil
	}
	return b.opened(c)
}

func (b *backend) Message(_ context.Context, c *agentapi.Client, id uint16, body []byte) (msgmux.Message, error) {
	if b.message == nil {
		return nil, nil
	}
	return b.message(c, id, body)
}

func (b *backend) Closed(_ context.Context, c *agentapi.Client, reason string) {
	if b.closed != nil {
		b.closed(c, reason)
	}
}

// echo is a message handler: it answers EchoREQ.
func echo(_ *agentapi.Client, _ uint16, body []byte) (msgmux.Message, error) {
	var m pb.EchoREQ
	if err := proto.Unmarshal(body, &m); err != nil {
		return nil, fmt.Errorf("%w: %w", msgmux.ErrMalformed, err)
	}
	return &pb.EchoACK{Content: m.Content}, nil
}

// said is what the backend said on the line.
type said struct {
	kind   link.Kind
	id     uint16
	client uint64
	body   string
}

func (s said) String() string {
	return fmt.Sprintf("kind %d, %s of client %d: %q", s.kind, pb.MessageName(s.id), s.client, s.body)
}

// line is an agent as far as a backend can see: it says what the test says and
// hears what the backend says.
type line struct {
	links *link.Links
	heard chan said
	stop  func()

	vanish func() // ends the links only: discovery does not notice
}

// agent links a stub agent to b.
func (b *backend) agent(t testing.TB, index int) *line {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	reg := b.Memory.Open()
	lease, err := reg.Register(ctx, discovery.Service{Name: "agent", Index: index, Group: "dev", State: discovery.Ready})
	if err != nil {
		t.Fatal(err)
	}
	rule, err := link.ParseRule("", "dev")
	if err != nil {
		t.Fatal(err)
	}
	a := &line{heard: make(chan said, 1<<16)}
	a.links = link.New(link.Config{Self: lease.Service, Registry: reg, Rule: rule, Log: slog.New(slog.DiscardHandler)})
	a.links.Receive("game", func(*link.Link) link.Receiver { return a })
	control[pb.BindBackendACK](a)
	control[pb.ClientKick](a)
	control[pb.UsersIn](a)
	control[pb.ClientJoin](a)
	control[pb.ClientLeave](a)
	control[pb.ClientName](a)
	control[pb.Greet](a)
	control[pb.DeliverREQ](a)
	control[pb.MembersREQ](a)
	control[pb.RetireREQ](a)
	a.links.Dial("game")
	var running sync.WaitGroup
	running.Go(func() { a.links.Run(ctx) })
	a.vanish = func() {
		cancel()
		running.Wait()
	}
	a.stop = sync.OnceFunc(func() {
		reg.Close()
		a.vanish()
	})
	t.Cleanup(a.stop)
	cluster.Eventually(t, "the link is up", func() bool {
		return a.link() != nil && b.App.Links.Get(lease.Service().ID) != nil
	})
	return a
}

// control hears control messages of one kind.
func control[M any, P interface {
	*M
	pb.Message
}](a *line) {
	link.Handle[M, P](a.links, func(_ *link.Link, client uint64, m *M) error {
		body, err := proto.Marshal(P(m))
		a.heard <- said{link.Control, P(m).MsgID(), client, string(body)}
		return err
	})
}

func (a *line) link() *link.Link {
	if all := a.links.Named("game"); len(all) > 0 {
		return all[0]
	}
	return nil
}

func (a *line) Frame(f link.Frame) error {
	a.heard <- said{f.Kind, f.ID, f.Client, string(f.Body)}
	return nil
}

func (a *line) Batch()     {}
func (a *line) Down(error) {}

// send appends messages of a client, without a flush.
func (a *line) send(t testing.TB, client uint64, all ...pb.Message) {
	t.Helper()
	for _, m := range all {
		if _, err := a.link().Append(link.ToClient, client, m.MsgID(), []byte(encode(t, m))); err != nil {
			t.Fatal(err)
		}
	}
}

// flush writes what was sent, all in one piece if there is not too much.
func (a *line) flush() { a.link().Flush() }

// control sends a control message.
func (a *line) control(t testing.TB, client uint64, m pb.Message) {
	t.Helper()
	if err := a.link().Send(client, m); err != nil {
		t.Fatal(err)
	}
}

func encode(t testing.TB, m pb.Message) string {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// next is the next thing that the backend says.
func (a *line) next(t testing.TB) said {
	t.Helper()
	select {
	case s := <-a.heard:
		return s
	case <-time.After(patience):
		t.Fatalf("the backend says nothing within %v", patience)
	}
	panic("unreachable")
}

// want takes the next thing that the backend says, which must be this.
func (a *line) want(t testing.TB, kind link.Kind, client uint64, m pb.Message) {
	t.Helper()
	if got, want := a.next(t), (said{kind, m.MsgID(), client, encode(t, m)}); got != want {
		t.Fatalf("got %v\nwant %v", got, want)
	}
}

// wantReject takes the next thing that the backend says, which must be a
// RejectACK for the client.
func (a *line) wantReject(t testing.TB, client uint64, id uint16, code pb.ResultCode) {
	t.Helper()
	var m pb.RejectACK
	got := a.next(t)
	if got.id != pb.RejectACKID || got.client != client || proto.Unmarshal([]byte(got.body), &m) != nil || uint16(m.MsgId) != id || m.Code != code || m.Reason == "" {
		t.Fatalf("got %v %v, want RejectACK of %s with %v for client %d", got, &m, pb.MessageName(id), code, client)
	}
}

// number makes the number of a client, as agents do.
func number(generation, slot int) uint64 { return uint64(generation)<<32 | uint64(slot) }

func content(format string, args ...any) *pb.EchoREQ {
	return &pb.EchoREQ{Content: fmt.Appendf(nil, format, args...)}
}

func answer(format string, args ...any) *pb.EchoACK {
	return &pb.EchoACK{Content: fmt.Appendf(nil, format, args...)}
}
