package gateway_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/agent/agentapi"
	"github.com/davyxu/cellmesh_demo/svc/agent/route"
	"github.com/davyxu/cellmesh_demo/tool/cluster"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// A backend whose link is hardly read: its clients are told that it is busy;
// clients of another backend, and the same clients at another backend, notice
// nothing. When it reads again, it goes on.
func TestSlowBackend(t *testing.T) {
	hold := make(chan struct{})
	r := emptyRig(t)
	r.game = r.stub(t, "game")
	slow := r.line(t, "social", held(hold, 100*time.Millisecond))
	r.agent = r.Launch("agent", "-maxviolations=0").WaitReady()
	r.setRules(t, func(rules map[string]*route.Rule) {
		rules["ChatREQ"].MaxSize, rules["ChatREQ"].Rate, rules["ChatREQ"].Burst = 0, 0, 0
	})
	w := r.witness(t)
	flood := r.enter(t, "tcp", "flood", newClient)
	other := r.enter(t, "ws", "other", newClient)

	body := strings.Repeat("x", route.MaxBody)
	for sent := 0; len(flood.got) == 0; sent++ {
		if sent > 512<<20/len(body) { // 64 MiB may wait for a link
			t.Fatal("512 MiB for a backend that hardly reads, and it is not busy")
		}
		flood.sendRaw(t, pb.ChatREQID, body)
		if flood.session.Pending() > 512<<10 {
			cluster.Eventually(t, "the agent reads on", func() bool { return flood.session.Pending() == 0 })
		}
	}
	flood.wantReject(t, pb.ChatREQID, pb.ResultCode_ServiceBusy)
	for busy := false; !busy; { // there may be room for a message or two by now
		other.sendRaw(t, pb.ChatREQID, body)
		other.send(t, &pb.EchoREQ{})
		if got := other.next(t); got.id != pb.EchoACKID {
			got.rejects(t, pb.ChatREQID, pb.ResultCode_ServiceBusy)
			other.want(t, &pb.EchoACK{}) // the game is not busy
			busy = true
		}
	}
	w.undisturbed(t)

	close(hold) // it wakes up
	flood.session.Close(nil)
	cluster.Eventually(t, "chat goes through again", func() bool {
		other.send(t, &pb.ChatREQ{Content: "hello"})
		other.send(t, &pb.EchoREQ{})
		return other.next(t).id == pb.EchoACKID
	})
	cluster.Eventually(t, "it hears of the client that left", func() bool {
		slow.mu.Lock()
		defer slow.mu.Unlock()
		return slices.Contains(slow.events, "closed EOF")
	})
	w.undisturbed(t)
}

// A backend that goes away: messages are held, then refused; when it has been
// away for longer they are refused at once.
func TestBackendAway(t *testing.T) {
	t.Parallel()
	r := newRig(t, "-hold=700ms")
	r.setRules(t, func(rules map[string]*route.Rule) { rules["ChatREQ"].Rate, rules["ChatREQ"].Burst = 0, 0 })
	social := r.line(t, "social", nil)
	r.linked(t, "social", 1)
	w := r.witness(t)
	p := r.enter(t, "tcp", "alice", newClient)
	p.send(t, &pb.ChatREQ{Content: "one"})
	social.wantEvents(t, "open alice", "ChatREQ")
	if err := social.Stop(); err != nil {
		t.Fatal(err)
	}
	r.linked(t, "social", 0)

	p.send(t, &pb.ChatREQ{Content: "two"})
	p.send(t, &pb.EchoREQ{}) // waits behind it
	p.wantReject(t, pb.ChatREQID, pb.ResultCode_ServiceUnavailable)
	p.want(t, &pb.EchoACK{})
	for range 50 { // 35 s if each was held
		p.send(t, &pb.ChatREQ{Content: "three"})
		p.wantReject(t, pb.ChatREQID, pb.ResultCode_ServiceUnavailable)
	}
	w.undisturbed(t)

	social = r.line(t, "social", nil)
	r.linked(t, "social", 1)
	p.send(t, &pb.ChatREQ{Content: "four"})
	social.wantEvents(t, "open alice", "ChatREQ")
	w.undisturbed(t)
}

// A backend that comes back in time gets what was held for it, and is introduced
// to the client ahead of that.
func TestBackendReturns(t *testing.T) {
	r := newRig(t, "-hold=1m")
	r.setRules(t, func(rules map[string]*route.Rule) { rules["ChatREQ"].Rate, rules["ChatREQ"].Burst = 0, 0 })
	social := r.line(t, "social", nil)
	w := r.witness(t)
	p := r.enter(t, "tcp", "alice", newClient)
	p.send(t, &pb.ChatREQ{Content: "one"})
	social.wantEvents(t, "open alice", "ChatREQ")
	if err := social.Stop(); err != nil {
		t.Fatal(err)
	}
	r.linked(t, "social", 0)
	p.send(t, &pb.ChatREQ{Content: "two"})
	p.send(t, &pb.ChatREQ{Content: "three"})
	social = r.line(t, "social", nil)
	social.wantEvents(t, "open alice", "ChatREQ", "ChatREQ")
	p.wantEcho(t, "nothing was refused")
	w.undisturbed(t)
}

// A message that waits for a service holds up its client, and nobody else: not even
// those whose messages are read by the same goroutine. Its rate is spent once.
func TestHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	r := newRig(t, "-hold=5m")
	r.setRules(t, func(rules map[string]*route.Rule) { rules["ChatREQ"].Rate, rules["ChatREQ"].Burst = 0.001, 2 })
	var all []*peer
	for i := range 24 { // as many as loops are for
		p := r.enter(t, []string{"tcp", "ws"}[i%2], fmt.Sprint("player", i), newClient)
		p.wantEcho(t, "once verified, many are read together")
		all = append(all, p)
	}
	held := all[:2]
	for _, p := range held {
		p.wantEcho(t, "read by a loop")
		p.send(t, &pb.ChatREQ{Content: "one"})
		p.send(t, &pb.EchoREQ{})
		p.send(t, &pb.ChatREQ{Content: "two"})
	}
	for range 5 {
		for _, p := range all[2:] {
			p.wantEcho(t, "meanwhile")
		}
	}
	social := r.line(t, "social", nil)
	cluster.Eventually(t, "the messages arrive", func() bool {
		social.mu.Lock()
		defer social.mu.Unlock()
		return len(social.events) == 6
	})
	for _, p := range held {
		p.want(t, &pb.EchoACK{})
		p.send(t, &pb.ChatREQ{Content: "three"})
		p.wantReject(t, pb.ChatREQID, pb.ResultCode_RateLimited)
	}
}

// A client whose backend goes away is introduced to another instance with its
// next message, ahead of it, and stays there when the first one comes back.
func TestMovesToAnotherInstance(t *testing.T) {
	r := newRig(t)
	second := r.stub(t, "game")
	r.linked(t, "game", 2)
	p := r.dial(t, "tcp")
	p.verify(t, "alice", r.game.App.Self().ID, newClient)
	if err := r.game.Stop(); err != nil {
		t.Fatal(err)
	}
	r.linked(t, "game", 1)
	p.wantEcho(t, "over there")
	second.wantEvent(t, "opened alice")
	r.game = r.stub(t, "game")
	r.linked(t, "game", 2)
	p.wantEcho(t, "still there")
	p.session.Close(nil)
	second.wantEvent(t, "closed alice: EOF")
	if events := r.game.all(); len(events) > 0 {
		t.Errorf("the game that came back heard of a client that is not its own: %q", events)
	}
}

// A game that goes and comes again and again, with clients that never stop
// asking: each is introduced every time, once, and none is left over.
func TestGameFlaps(t *testing.T) {
	r := newRig(t, "-maxviolations=0", "-hold=1m")
	const clients = 10
	var all []*peer
	for i := range clients {
		all = append(all, r.enter(t, []string{"tcp", "ws"}[i%2], fmt.Sprint("user", i), newClient))
	}
	stop := make(chan struct{})
	var asking sync.WaitGroup
	for _, p := range all {
		asking.Go(func() {
			tick := time.NewTicker(5 * time.Millisecond) // each answer takes room in p.got
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
					p.session.SendMessage(pb.EchoREQID, []byte("\n\x03ask"))
				case <-stop:
					return
				}
			}
		})
	}
	for range 3 {
		if err := r.game.Stop(); err != nil {
			t.Fatal(err)
		}
		r.game = r.stub(t, "game")
		for i := range clients {
			r.game.wantEvent(t, fmt.Sprint("opened user", i))
		}
	}
	close(stop)
	asking.Wait()
	for i, p := range all {
		p.send(t, &pb.EchoREQ{Content: []byte("last")})
		for got := p.next(t); got.body != "\n\x04last"; got = p.next(t) {
			if got.id != pb.EchoACKID {
				t.Fatalf("user%d got %v", i, got)
			}
		}
		p.session.Close(nil)
		r.game.wantEvent(t, fmt.Sprintf("closed user%d: EOF", i))
	}
	if events := r.game.all(); len(events) != 2*clients {
		t.Errorf("the game heard %q", events)
	}
	wantMetric(t, r.game.Process, "backend_clients", 0)
}

// Without any game nobody can verify: a client that understands is told so.
func TestVerifyWithoutGame(t *testing.T) {
	r := newRig(t, "-hold=50ms")
	if err := r.game.Stop(); err != nil {
		t.Fatal(err)
	}
	r.linked(t, "game", 0)
	p := r.dial(t, "tcp")
	p.send(t, &pb.VerifyREQ{GameToken: "alice", Features: newClient})
	p.wantReject(t, pb.VerifyREQID, pb.ResultCode_ServiceUnavailable)
	r.game = r.stub(t, "game")
	r.linked(t, "game", 1)
	p.verify(t, "alice", "", newClient)
}

// The instance that a client names is waited for, if discovery shows it; if it
// does not come, another one decides. A verified client cannot move itself.
func TestNamedInstance(t *testing.T) {
	t.Parallel()
	r := newRig(t, "-hold=300ms")
	second := r.stub(t, "game")
	r.linked(t, "game", 2)
	for i, game := range []*stub{r.game, second} {
		uid := fmt.Sprint("user", i)
		p := r.dial(t, "tcp")
		p.verify(t, uid, game.App.Self().ID, newClient)
		if !game.happened("verified " + uid) {
			t.Errorf("%s was not verified by %s", uid, game.App.Self().ID)
		}
		other := []*stub{second, r.game}[i]
		p.verify(t, "again", other.App.Self().ID, newClient)
		if !game.happened("verified again") || len(other.all()) > 0 && other.happened("verified again") {
			t.Errorf("%s moved itself from %s to %s", uid, game.App.Self().ID, other.App.Self().ID)
		}
		p.session.Close(nil)
		p.wantEnd(t)
		game.wantEvent(t, "closed again: EOF")
		game.mu.Lock()
		game.events = nil
		game.mu.Unlock()
	}
	lease, err := r.Registry.Register(t.Context(), discovery.Service{Name: "game", Index: 7, Group: "dev", Addr: "127.0.0.1:1", State: discovery.Ready})
	if err != nil {
		t.Fatal(err)
	}
	defer lease.Close(t.Context())
	cluster.Eventually(t, "the agent sees game#7", func() bool {
		_, ok := r.agent.App.Registry.Snapshot().Service("game#7@dev")
		return ok
	})
	began := time.Now()
	r.dial(t, "tcp").verify(t, "patient", "game#7@dev", newClient)
	if waited := time.Since(began); waited < 200*time.Millisecond {
		t.Errorf("game#7 was waited for only %v", waited)
	}
}

// What a backend sees of clients, in order: an introduction before the first
// message of a verified one, also when it was verified after it had sent
// something; and the end, exactly once, exactly where they were known.
func TestWhatBackendsSee(t *testing.T) {
	r := newRig(t)
	r.setRules(t, func(rules map[string]*route.Rule) { rules["ChatREQ"].Access = route.Pass })
	social := r.line(t, "social", nil)
	other := r.line(t, "social", nil)
	r.linked(t, "social", 2)
	early := r.dial(t, "tcp")
	early.send(t, &pb.ChatREQ{})
	cluster.Eventually(t, "one has got it", func() bool { return social.count()+other.count() == 1 })
	if other.count() == 1 {
		social, other = other, social
	}
	early.verify(t, "early", "", oldClient)
	early.send(t, &pb.ChatREQ{})
	social.wantEvents(t, "ChatREQ", "open early", "ChatREQ")
	never := r.enter(t, "ws", "never", oldClient) // sends no chat
	for _, p := range []*peer{early, never} {
		p.session.Close(nil)
		p.wantEnd(t)
	}
	for _, uid := range []string{"early", "never"} {
		r.game.wantEvent(t, "closed "+uid+": EOF")
	}
	social.wantEvents(t, "ChatREQ", "open early", "ChatREQ", "closed EOF")
	r.closed(t, "eof", 2)
	other.wantEvents(t)
	wantMetric(t, r.game.Process, "backend_clients", 0)
}

// Only the backend that the agent has chosen can say who a client is; and it
// cannot make somebody else of it, or an older login.
func TestBinding(t *testing.T) {
	r := emptyRig(t)
	game, stranger := r.line(t, "game", nil), r.line(t, "game", nil)
	r.agent = r.Launch("agent").WaitReady()
	r.linked(t, "game", 2)
	p := r.dial(t, "tcp")
	p.send(t, &pb.VerifyREQ{GameSvcId: game.App.Self().ID, Features: newClient})
	game.wantEvents(t, "VerifyREQ")
	id := game.id(0)
	stranger.control(t, id, &pb.BindBackendACK{Uid: "mallory", Epoch: 9})
	stranger.push(t, id, &pb.VerifyACK{}) // behind it: the binding was handled
	p.want(t, &pb.VerifyACK{})
	p.send(t, &pb.EchoREQ{})
	p.wantReject(t, pb.EchoREQID, pb.ResultCode_NotVerified)

	game.control(t, id, &pb.BindBackendACK{Uid: "alice", Epoch: 2, Features: newClient})
	game.control(t, id, &pb.BindBackendACK{Uid: "bob", Epoch: 3, Features: newClient})
	game.control(t, id, &pb.BindBackendACK{Uid: "alice", Epoch: 1, Features: newClient})
	game.control(t, id, &pb.BindBackendACK{})
	game.control(t, id+1<<32, &pb.BindBackendACK{Uid: "nobody"}) // has left
	game.control(t, id, &pb.ClientJoin{})
	game.control(t, id, &pb.ClientJoin{Group: strings.Repeat("x", 256)})
	game.push(t, id, &pb.VerifyACK{})
	p.want(t, &pb.VerifyACK{})
	p.send(t, &pb.EchoREQ{})
	game.wantEvents(t, "VerifyREQ", "EchoREQ")
	for _, want := range []string{"uid=alice backend=game#0@dev wants=bob", "uid=alice backend=game#0@dev wants=alice epoch=1", "join refused"} {
		if !strings.Contains(r.agent.Log(), want) {
			t.Errorf("the log does not have %q", want)
		}
	}

	// A client of the wrong epoch is not kicked, the right one is.
	game.control(t, id, &pb.ClientKick{Code: pb.ResultCode_LoggedInElsewhere, Reason: "old", Epoch: 1})
	game.control(t, id, &pb.ClientKick{Code: pb.ResultCode_LoggedInElsewhere, Epoch: 2})
	if reason := p.wantReject(t, 0, pb.ResultCode_LoggedInElsewhere); reason != "LoggedInElsewhere" {
		t.Errorf("kicked with reason %q", reason)
	}
	p.wantEnd(t)
	game.wantEvents(t, "VerifyREQ", "EchoREQ", "closed agent: LoggedInElsewhere")
}

// A kick comes behind everything sent before, tells why, and ends the
// connection; an old client only sees the end.
func TestKick(t *testing.T) {
	r := newRig(t)
	w := r.witness(t)
	for _, scheme := range []string{"tcp", "ws"} {
		for name, features := range map[string]uint32{"old": oldClient, "new": newClient} {
			p := r.enter(t, scheme, name, features)
			c := r.game.client(t, name)
			const lines = 1000
			for range lines {
				if err := c.Send(&pb.ChatACK{Content: strings.Repeat("x", 200)}); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.Kick(pb.ResultCode_Kicked, "cheating"); err != nil {
				t.Fatal(err)
			}
			for range lines {
				if got := p.next(t); got.id != pb.ChatACKID {
					t.Fatalf("%s %s: got %v", scheme, name, got)
				}
			}
			if features == newClient {
				if reason := p.wantReject(t, 0, pb.ResultCode_Kicked); reason != "cheating" {
					t.Errorf("reason %q", reason)
				}
			}
			if err := p.wantEnd(t); err != io.EOF {
				t.Errorf("%s %s: ended with %v, want EOF", scheme, name, err)
			}
			if len(p.got) > 0 {
				t.Errorf("%s %s: got %v", scheme, name, p.next(t))
			}
			r.game.wantEvent(t, "closed "+name+": agent: cheating")
		}
	}
	r.closed(t, "kicked", 4)
	w.undisturbed(t)
}

// What is pushed to one, a list, a group or all reaches exactly those, on every
// agent. A group outlives the backend that made it, and is left at the end of
// the connection.
func TestPush(t *testing.T) {
	r := newRig(t)
	second := &rig{Cluster: r.Cluster, game: r.game, agent: r.Launch("agent").WaitReady()}
	agents := []*rig{r, second}
	var all []*peer
	var clients []*agentapi.Client
	for i := range 6 {
		uid := fmt.Sprint("user", i)
		all = append(all, agents[i%2].enter(t, []string{"tcp", "ws", "tcp"}[i%3], uid, oldClient))
		clients = append(clients, r.game.client(t, uid))
	}
	unverified := r.dial(t, "tcp")
	unverified.send(t, &pb.PingACK{})
	unverified.want(t, &pb.PingACK{})
	reaches := func(what string, send func(pb.Message) error, who ...int) {
		t.Helper()
		if err := send(&pb.ChatACK{Content: what}); err != nil {
			t.Fatal(err)
		}
		for _, i := range who {
			all[i].want(t, &pb.ChatACK{Content: what})
		}
		for _, p := range all {
			p.wantEcho(t, what+" went nowhere else")
		}
	}
	reaches("one", clients[3].Send, 3)
	reaches("list", func(m pb.Message) error { return r.game.clients.SendTo(clients[1:4], m) }, 1, 2, 3)
	reaches("all", r.game.clients.Broadcast, 0, 1, 2, 3, 4, 5)
	reaches("nobody's group", func(m pb.Message) error { return r.game.clients.SendGroup("guild", m) })
	guild := func(s *stub) func(pb.Message) error {
		return func(m pb.Message) error { return s.clients.SendGroup("guild", m) }
	}
	for _, i := range []int{0, 1, 2, 5} {
		if err := clients[i].Join("guild"); err != nil {
			t.Fatal(err)
		}
	}
	reaches("group", guild(r.game), 0, 1, 2, 5)
	if err := clients[1].Leave("guild"); err != nil {
		t.Fatal(err)
	}
	reaches("smaller group", guild(r.game), 0, 2, 5)

	if err := r.game.Stop(); err != nil {
		t.Fatal(err)
	}
	r.game = r.stub(t, "game")
	cluster.Eventually(t, "both agents are linked", func() bool { return len(r.game.App.Links.Named("agent")) == 2 })
	reaches("group after the game's death", guild(r.game), 0, 2, 5)
	for _, i := range []int{0, 5} {
		r.game.wantEvent(t, fmt.Sprint("opened user", i))
		all[i].session.Close(nil)
		all[i].wantEnd(t)
		r.game.wantEvent(t, fmt.Sprintf("closed user%d: EOF", i))
	}
	gone := all
	all = []*peer{gone[1], gone[2], gone[3], gone[4]}
	reaches("group after two have left", guild(r.game), 1)
	unverified.send(t, &pb.PingACK{})
	unverified.want(t, &pb.PingACK{})
	if n := r.agent.Metric(t, "agent_stray_total"); n != 0 {
		t.Errorf("%v messages went to clients that had left", n)
	}
}

// Whatever is pushed in one breath, to one, to a list or to all, arrives in the
// order it was sent, once.
func TestPushOrder(t *testing.T) {
	r := newRig(t)
	var all []*peer
	var clients []*agentapi.Client
	for i := range 3 {
		uid := fmt.Sprint("user", i)
		all = append(all, r.enter(t, []string{"tcp", "ws", "tcp"}[i], uid, oldClient))
		clients = append(clients, r.game.client(t, uid))
	}
	const pushes = 300
	for i := range pushes {
		line := &pb.ChatACK{Content: fmt.Sprint(i)}
		var err error
		switch i % 3 {
		case 0:
			err = r.game.clients.Broadcast(line)
		case 1:
			err = r.game.clients.SendTo(clients, line)
		case 2:
			for _, c := range clients {
				err = errors.Join(err, c.Send(line))
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range all {
		for i := range pushes {
			p.want(t, &pb.ChatACK{Content: fmt.Sprint(i)})
		}
		p.wantEcho(t, "nothing is left")
	}
}

// A client is in 256 groups at most; joining twice is no second time.
func TestGroupsAreBounded(t *testing.T) {
	r := newRig(t)
	p := r.enter(t, "tcp", "alice", oldClient)
	c := r.game.client(t, "alice")
	for i := range 300 {
		for range 2 {
			if err := c.Join(fmt.Sprint("group", i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range 300 {
		if err := r.game.clients.SendGroup(fmt.Sprint("group", i), &pb.ChatACK{Content: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 256 {
		p.want(t, &pb.ChatACK{Content: fmt.Sprint(i)})
	}
	p.wantEcho(t, "and no more")
	if !strings.Contains(r.agent.Log(), "client is in too many groups") {
		t.Error("the log does not tell of groups refused")
	}
}

// An agent that stops tells its clients, and its backends.
func TestAgentStops(t *testing.T) {
	r := newRig(t)
	knows, old := r.enter(t, "tcp", "new", newClient), r.enter(t, "ws", "old", oldClient)
	if err := r.agent.Stop(); err != nil {
		t.Fatal(err)
	}
	knows.wantReject(t, 0, pb.ResultCode_ShuttingDown)
	for _, p := range []*peer{knows, old} {
		p.wantEnd(t)
	}
	if len(old.got) > 0 {
		t.Errorf("the old client got %v", old.next(t))
	}
	cluster.Eventually(t, "the game knows nobody", func() bool { return r.game.Process.Metric(t, "backend_clients") == 0 })
	if log := r.agent.Log(); strings.Count(log, "why=shutdown") != 2 {
		t.Error("the log does not tell that both ended by the shutdown")
	}
}

func (s *line) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.events)
}
