package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/agent/agentapi"
	"github.com/davyxu/cellmesh_demo/svc/hub/hubapi"
	"github.com/davyxu/cellmesh_demo/tool/cluster"
	"github.com/davyxu/cellmesh_demo/util/cellnet"
	"github.com/davyxu/cellmesh_demo/util/msgmux"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = time.Minute

// say runs the tool and returns what it prints.
func say(c *cluster.Cluster, args ...string) (string, error) {
	p := c.LaunchAs("notice", New, append([]string{"-wait=20s", "-loglevel=error"}, args...)...)
	err := p.Wait()
	return p.Log(), err
}

// rooms is a social service that puts who says a room's name into it.
type rooms struct{ mux *msgmux.Mux[*agentapi.Client] }

func newRooms(*flag.FlagSet) basefx.Service {
	r := &rooms{msgmux.New[*agentapi.Client]()}
	msgmux.HandleOneWay(r.mux, func(_ context.Context, c *agentapi.Client, m *pb.ChatREQ) error {
		if err := c.Join(m.Content); err != nil {
			return err
		}
		return c.Send(&pb.ChatACK{Content: "in " + m.Content})
	})
	return r
}

func (r *rooms) Start(ctx context.Context, app *basefx.App) error {
	_, err := agentapi.Serve(ctx, app, r)
	return err
}

func (r *rooms) Opened(context.Context, *agentapi.Client) error { return nil }

func (r *rooms) Message(ctx context.Context, c *agentapi.Client, id uint16, body []byte) (msgmux.Message, error) {
	return r.mux.Dispatch(ctx, c, id, body)
}

func (r *rooms) Closed(context.Context, *agentapi.Client, string) {}

// player is a client.
type player struct {
	t       *testing.T
	session *cellnet.Session
	got     chan string
}

func enter(t *testing.T, c *cluster.Cluster, tokens *cluster.Tokens, agent, uid string, features uint32) *player {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := cellnet.Dial(ctx, "tcp://"+c.Addr(agent), &cellnet.Config{})
	if err != nil {
		t.Fatal(err)
	}
	p := &player{t, s, make(chan string, 100)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(context.Background(), p)
	}()
	t.Cleanup(func() { s.Abort(nil); <-done })
	p.send(&pb.VerifyREQ{GameToken: tokens.New(uid, "game#0@dev"), Features: features})
	p.want(`VerifyACK {}`)
	return p
}

func (p *player) Frame(b []byte) error {
	id := cellnet.MessageID(b)
	for _, info := range pb.Messages() {
		if info.ID == id {
			m := info.New()
			if err := proto.Unmarshal(cellnet.Body(b), m); err != nil {
				return err
			}
			if line, is := m.(*pb.LineACK); is {
				p.got <- fmt.Sprintf("LineACK %d %v %s", len(line.Lines), line.Lines[0].Kind, line.Lines[0].Text)
				return nil
			}
			text, _ := m.(interface{ GetContent() string })
			if text != nil {
				p.got <- info.Name + " " + text.GetContent()
			} else {
				p.got <- fmt.Sprintf("%s {%v}", info.Name, m)
			}
			return nil
		}
	}
	return fmt.Errorf("message ID %d", id)
}

func (p *player) Batch()       {}
func (p *player) Closed(error) {}

func (p *player) send(m pb.Message) {
	p.t.Helper()
	body, err := proto.Marshal(m)
	if err == nil {
		err = p.session.SendMessage(m.MsgID(), body)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *player) want(want string) {
	p.t.Helper()
	select {
	case got := <-p.got:
		if got != want {
			p.t.Fatalf("got %s, want %s", got, want)
		}
	case <-time.After(patience):
		p.t.Fatalf("no %s within %v", want, patience)
	}
}

// wantNothing sees to it that nothing else has come.
func (p *player) wantNothing() {
	p.t.Helper()
	p.send(&pb.PingACK{})
	p.want("PingACK {}")
}

// An operator's words reach all, one player, or a group, each once and in the form
// that the client understands, with two hubs and two agents, and with one hub
// left; the operator is told how many.
func TestNotice(t *testing.T) {
	c := cluster.New(t)
	tokens := c.NewTokens()
	hub := c.Launch("hub").WaitReady()
	all := []*cluster.Process{c.Launch("hub"), c.Launch("game"), c.LaunchAs("social", newRooms), c.Launch("agent").WaitReady(), c.Launch("agent")}
	for _, p := range all {
		p.WaitReady()
	}
	alice := enter(t, c, tokens, "agent#0@dev", "alice", uint32(pb.VerifyREQ_Lines))
	bob := enter(t, c, tokens, "agent#0@dev", "bob", 0)
	carol := enter(t, c, tokens, "agent#1@dev", "carol", 0)
	players := []*player{alice, bob, carol}
	for _, p := range []*player{bob, carol} {
		p.send(&pb.ChatREQ{Content: "room/x"})
		p.want("ChatACK in room/x")
	}
	check := func(text, seen string, who []*player, args ...string) {
		t.Helper()
		if out, err := say(c, append(args, "-text="+text)...); err != nil || out != seen+"\n" {
			t.Errorf("said %q, %v; want %q", out, err, seen)
		}
		for _, p := range who {
			if p == alice {
				p.want("LineACK 1 Notice " + text)
			} else {
				p.want("ChatACK " + text)
			}
		}
		for _, p := range players {
			p.wantNothing()
		}
	}
	check("hello", "seen by 3 clients: agent#0@dev 2, agent#1@dev 1", players)
	check("dear alice", "seen by 1 client: agent#0@dev 1, agent#1@dev 0", []*player{alice}, "-uid=alice")
	check("dear nobody", "seen by nobody: agent#0@dev 0, agent#1@dev 0", nil, "-uid=nobody")
	check("dear room", "seen by 2 clients: agent#0@dev 1, agent#1@dev 1", []*player{bob, carol}, "-group=room/x")
	if err := hub.Stop(); err != nil {
		t.Error(err)
	}
	check("one hub left", "seen by 3 clients: agent#0@dev 2, agent#1@dev 1", players)

	for words, args := range map[string][]string{
		"nothing to say":       {},
		"not both":             {"-text=x", "-uid=a", "-group=b"},
		"control characters":   {"-text=a\x1b[31mb"},
		"1 to 1000 characters": {"-text=" + strings.Repeat("é", 1001)},
	} {
		if _, err := say(c, args...); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%q: %v", words, err)
		}
	}
	for _, p := range players {
		p.wantNothing()
	}
}

// Who asks again, not knowing whether the first time arrived, does no harm.
func TestNoticeAgain(t *testing.T) {
	c := cluster.New(t)
	tokens := c.NewTokens()
	var hub *hubapi.Hub
	asker := c.LaunchAs("asker", func(*flag.FlagSet) basefx.Service {
		return starter(func(app *basefx.App) { hub = hubapi.Join(app) })
	})
	for _, p := range []*cluster.Process{c.Launch("hub"), c.Launch("game"), c.Launch("agent"), asker} {
		p.WaitReady()
	}
	alice := enter(t, c, tokens, "agent#0@dev", "alice", 0)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for range 3 {
		a, err := hubapi.Request[pb.NoticeACK](ctx, hub, "agent", &pb.NoticeREQ{Text: "hello", Id: 77})
		for errors.Is(err, hubapi.ErrNoResponder) { // the agent is about to subscribe
			a, err = hubapi.Request[pb.NoticeACK](ctx, hub, "agent", &pb.NoticeREQ{Text: "hello", Id: 77})
		}
		if err != nil || a.Seen != 1 {
			t.Fatalf("%v, %v", a, err)
		}
	}
	alice.want("ChatACK hello")
	alice.wantNothing()
}

type starter func(*basefx.App)

func (s starter) Start(_ context.Context, app *basefx.App) error {
	s(app)
	return nil
}

// What is missing is said.
func TestNoticeInVain(t *testing.T) {
	c := cluster.New(t)
	if _, err := say(c, "-text=x", "-wait=100ms"); err == nil || !strings.Contains(err.Error(), "no hub is linked: go run ./svc/hub") {
		t.Error(err)
	}
	c.Launch("hub").WaitReady()
	if _, err := say(c, "-text=x", "-wait=3s"); err == nil || !strings.Contains(err.Error(), "no agent is running: go run ./svc/agent") {
		t.Error(err)
	}
}
