package agentapi_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/agent/agentapi"
	"github.com/davyxu/cellmesh_demo/tool/cluster"
	"github.com/davyxu/cellmesh_demo/util/msgmux"
)

// startGreeter runs a backend that wants to know everybody.
func startGreeter(t testing.TB, b *backend) *backend {
	b.greets = true
	return start(t, b)
}

// greeted links a stub agent that is asked to greet.
func (b *backend) greeted(t testing.TB, index int) *line {
	t.Helper()
	a := b.agent(t, index)
	a.want(t, link.Control, 0, &pb.Greet{})
	return a
}

// here says that users are at a stub agent, or that they are gone.
func (a *line) here(t testing.TB, complete bool, here, gone []*pb.Presence_User) {
	t.Helper()
	a.control(t, 0, &pb.Presence{Here: here, Gone: gone, Complete: complete})
}

func users(epoch uint64, uids ...string) (all []*pb.Presence_User) {
	for _, uid := range uids {
		all = append(all, &pb.Presence_User{Uid: uid, Epoch: epoch})
	}
	return all
}

// wantOnline waits until exactly these are online, each as uid:epoch@agent.
func (b *backend) wantOnline(t testing.TB, want ...string) {
	t.Helper()
	var got []string
	defer func() {
		if t.Failed() {
			t.Logf("online are %q, want %q", got, want)
		}
	}()
	cluster.Eventually(t, "the right ones are online", func() bool {
		got = nil
		for _, u := range b.srv.OnlineUsers(1000) {
			got = append(got, fmt.Sprintf("%s:%d@%c", u.UID, u.Epoch, u.Agent[len("agent#")]))
		}
		return slices.Equal(got, want)
	})
}

// The newest login counts, in whatever order one hears of them, and only its own
// agent can say that it is gone.
func TestPresenceOrder(t *testing.T) {
	b := startGreeter(t, &backend{})
	one, two := b.greeted(t, 1), b.greeted(t, 2)
	steps := 0
	step := func(a *line, here, gone []*pb.Presence_User, want ...string) {
		t.Helper()
		steps++ // the last of them tells that the others were handled
		mark := fmt.Sprintf("z%d", steps)
		a.here(t, false, append(here, users(1, mark)...), gone)
		cluster.Eventually(t, "it is heard", func() bool { _, is := b.srv.Online(mark); return is })
		a.here(t, false, nil, users(1, mark))
		b.wantOnline(t, want...)
	}
	step(one, users(1, "alice", "bob"), nil, "alice:1@1", "bob:1@1")
	step(two, users(2, "alice"), nil, "alice:2@2", "bob:1@1")
	step(one, users(1, "alice"), nil, "alice:2@2", "bob:1@1")
	step(one, nil, users(1, "alice"), "alice:2@2", "bob:1@1")
	step(one, nil, users(9, "alice"), "alice:2@2", "bob:1@1")
	step(two, nil, users(1, "alice"), "alice:2@2", "bob:1@1")
	step(two, nil, users(2, "alice"), "bob:1@1")
	// A client that is introduced is online at once; what was said of its login
	// before does not change that.
	two.control(t, number(1, 2), &pb.ClientOpen{Uid: "early", Epoch: 4}) // it may have left before the list is complete
	step(two, nil, nil, "bob:1@1")
	two.here(t, true, nil, nil)
	two.control(t, number(1, 1), &pb.ClientOpen{Uid: "alice", Epoch: 4, Name: "Al", Features: 2})
	step(two, nil, users(3, "alice"), "alice:4@2", "bob:1@1")
	if u, _ := b.srv.Online("alice"); u != (agentapi.User{UID: "alice", Name: "Al", Epoch: 4, Features: 2, Agent: "agent#2@dev"}) {
		t.Errorf("alice is %+v", u)
	}
	step(two, nil, users(4, "alice"), "bob:1@1")
}

// An agent whose link is cut is waited for; when it is back, those whom it does
// not name any more are gone. One that has stopped is not waited for.
func TestPresenceOfAnAgent(t *testing.T) {
	b := startGreeter(t, &backend{})
	one, two := b.greeted(t, 1), b.greeted(t, 2)
	two.here(t, true, users(1, "dave"), nil)
	one.here(t, false, users(1, "alice"), nil)
	one.here(t, true, users(1, "bob", "carol"), nil)
	b.wantOnline(t, "alice:1@1", "bob:1@1", "carol:1@1", "dave:1@2")
	one.link().Close(errors.New("cut by the test"))
	one.want(t, link.Control, 0, &pb.Greet{}) // it is linked again
	one.here(t, false, users(1, "bob"), nil)
	one.here(t, false, users(2, "carol"), nil)
	b.wantOnline(t, "alice:1@1", "bob:1@1", "carol:2@1", "dave:1@2")
	one.here(t, true, nil, nil)
	b.wantOnline(t, "bob:1@1", "carol:2@1", "dave:1@2")
	began := time.Now()
	one.stop()
	b.wantOnline(t, "dave:1@2")
	if waited := time.Since(began); waited > 3*time.Second { // as for one that is lost
		t.Errorf("an agent that has stopped was waited for, %v", waited)
	}
	if n := b.srv.OnlineCount(); n != 1 {
		t.Errorf("%d are online", n)
	}
}

// An agent that is lost, and does not come back, takes its users along.
func TestPresenceOfALostAgent(t *testing.T) {
	t.Parallel()
	b := startGreeter(t, &backend{})
	one := b.greeted(t, 1)
	one.here(t, true, users(1, "alice"), nil)
	b.wantOnline(t, "alice:1@1")
	one.vanish()
	if _, is := b.srv.Online("alice"); !is {
		t.Error("alice is gone at once")
	}
	b.wantOnline(t)
}

// hear takes the next thing a backend says, which must be a P.
func hear[M any, P interface {
	*M
	pb.Message
}](t testing.TB, a *line) P {
	t.Helper()
	m := P(new(M))
	if got := a.next(t); got.id != m.MsgID() || proto.Unmarshal([]byte(got.body), m) != nil {
		t.Fatalf("got %v, want %s", got, pb.MessageName(m.MsgID()))
	}
	return m
}

// delivery is how Deliver ended.
type delivery struct {
	done bool
	err  error
}

func (b *backend) deliver(ctx context.Context, uid string) <-chan delivery {
	ended := make(chan delivery, 1)
	go func() {
		done, err := b.srv.Deliver(ctx, uid, &pb.ChatACK{Content: "hi"})
		ended <- delivery{done, err}
	}()
	return ended
}

// Deliver follows a player who logs in anew meanwhile; an agent that goes away
// without an answer, or gives none, is an error that names it.
func TestDeliver(t *testing.T) {
	b := startGreeter(t, &backend{})
	one, two := b.greeted(t, 1), b.greeted(t, 2)
	one.here(t, true, users(1, "alice"), nil)
	two.here(t, true, nil, nil)
	b.wantOnline(t, "alice:1@1")

	ended := b.deliver(t.Context(), "alice")
	req := hear[pb.DeliverREQ](t, one)
	if req.Uid != "alice" || req.MsgId != uint32(pb.ChatACKID) || string(req.Body) != encode(t, &pb.ChatACK{Content: "hi"}) {
		t.Errorf("the agent was asked %v", req)
	}
	two.here(t, false, users(2, "alice"), nil)
	b.wantOnline(t, "alice:2@2")
	two.control(t, 0, &pb.DeliverACK{Call: req.Call, Delivered: true}) // it was not asked
	one.control(t, 0, &pb.DeliverACK{Call: req.Call})
	req = hear[pb.DeliverREQ](t, two)
	two.control(t, 0, &pb.DeliverACK{Call: req.Call, Delivered: true})
	if got := <-ended; !got.done || got.err != nil {
		t.Errorf("%+v", got)
	}

	ended = b.deliver(t.Context(), "alice")
	two.control(t, 0, &pb.DeliverACK{Call: hear[pb.DeliverREQ](t, two).Call})
	if got := <-ended; got.done || got.err != nil {
		t.Errorf("not there: %+v", got)
	}

	ended = b.deliver(t.Context(), "alice")
	hear[pb.DeliverREQ](t, two)
	two.link().Close(errors.New("cut by the test"))
	if got := <-ended; got.done || got.err == nil || !strings.Contains(got.err.Error(), "agent#2@dev: the link has ended") {
		t.Errorf("cut: %+v", got)
	}
	two.want(t, link.Control, 0, &pb.Greet{})

	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	ended = b.deliver(ctx, "alice")
	late := hear[pb.DeliverREQ](t, two)
	enough := errors.New("enough")
	cancel(enough)
	if got := <-ended; got.done || !errors.Is(got.err, enough) {
		t.Errorf("no answer: %+v", got)
	}
	two.control(t, 0, &pb.DeliverACK{Call: late.Call, Delivered: true})

	if done, err := b.srv.Deliver(t.Context(), "nobody", &pb.ChatACK{}); done || err != nil {
		t.Errorf("nobody: %v, %v", done, err)
	}
	if done, err := b.srv.Deliver(t.Context(), "alice", &pb.ChatACK{Content: strings.Repeat("x", agentapi.MaxBody)}); done || err == nil {
		t.Error("a message that no client takes was delivered")
	}
}

// Members come in parts, of all agents, each uid once; who does not answer is
// named.
func TestMembers(t *testing.T) {
	b := startGreeter(t, &backend{})
	one, two, deaf := b.greeted(t, 1), b.greeted(t, 2), b.greeted(t, 3)
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	type answer struct {
		users []agentapi.User
		err   error
	}
	ended := make(chan answer, 1)
	go func() {
		users, err := b.srv.Members(ctx, "room/tea")
		ended <- answer{users, err}
	}()
	q := hear[pb.MembersREQ](t, one)
	if q.Group != "room/tea" || q.Count {
		t.Errorf("asked %v", q)
	}
	one.control(t, 0, &pb.MembersACK{Call: q.Call, Users: users(1, "c", "a"), Total: 3, More: true})
	one.control(t, 0, &pb.MembersACK{Call: q.Call, Users: users(1, "d"), Total: 3})
	two.control(t, 0, &pb.MembersACK{Call: hear[pb.MembersREQ](t, two).Call, Users: users(2, "b", "a"), Total: 2})
	deaf.control(t, 0, &pb.MembersACK{Call: hear[pb.MembersREQ](t, deaf).Call, Users: users(1, "x"), Total: 2, More: true})
	// Each link is read by a goroutine of its own: a message behind each answer
	// tells that it was handled.
	for i, a := range []*line{one, two, deaf} {
		a.here(t, false, users(1, fmt.Sprint("m", i)), nil)
	}
	b.wantOnline(t, "m0:1@1", "m1:1@2", "m2:1@3")
	cancel(errors.New("enough"))
	got := <-ended
	var text []string
	for _, u := range got.users {
		text = append(text, fmt.Sprintf("%s:%d %s", u.UID, u.Epoch, u.Agent))
	}
	if want := []string{"a:2 agent#2@dev", "b:2 agent#2@dev", "c:1 agent#1@dev", "d:1 agent#1@dev"}; !slices.Equal(text, want) {
		t.Errorf("members %q, want %q", text, want)
	}
	if got.err == nil || !strings.Contains(got.err.Error(), `"room/tea": agent#3@dev: enough`) {
		t.Errorf("error %v", got.err)
	}
	if _, err := b.srv.Members(t.Context(), ""); err == nil {
		t.Error("a group without a name")
	}
}

// Of all that are introduced at once only so many are welcomed at a time, each
// before its first message; a client that has sent something before is welcomed
// in its turn.
func TestWelcome(t *testing.T) {
	const many = 1000
	var running, most, opened atomic.Int32
	release := make(chan struct{})
	var mu sync.Mutex
	early := []string{}
	b := startGreeter(t, &backend{
		opened: func(c *agentapi.Client) error {
			n := running.Add(1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			<-release
			running.Add(-1)
			c.Data = "welcomed"
			opened.Add(1)
			return nil
		},
		message: func(c *agentapi.Client, id uint16, body []byte) (msgmux.Message, error) {
			if c.Data == nil && c.Verified() {
				mu.Lock()
				early = append(early, c.Who().UID)
				mu.Unlock()
			}
			return echo(c, id, body)
		},
	})
	a := b.greeted(t, 0)
	a.here(t, true, nil, nil)
	a.send(t, number(1, many), content("before"))
	a.flush()
	a.want(t, link.ToClient, number(1, many), answer("before"))
	for i := range many + 1 {
		a.control(t, number(1, i), &pb.ClientOpen{Uid: fmt.Sprint("u", i), Epoch: 1})
		a.send(t, number(1, i), content("%d", i))
	}
	a.flush()
	cluster.Eventually(t, "all are online", func() bool { return b.srv.OnlineCount() == many+1 })
	cluster.Eventually(t, "as many as may are welcomed", func() bool { return running.Load() >= 256 })
	a.control(t, number(1, 3), &pb.ClientClosed{}) // it waits, or is welcomed
	close(release)
	cluster.Eventually(t, "all are welcomed", func() bool { return opened.Load() == many+1 })
	if n := most.Load(); n > 257 { // and the one that had sent something
		t.Errorf("%d were welcomed at a time", n)
	}
	for range many { // but the one that is closed: its answer may find it gone, or not
		a.next(t)
	}
	cluster.Eventually(t, "one has left", func() bool { return b.srv.Clients() == many })
	mu.Lock()
	defer mu.Unlock()
	if len(early) > 0 {
		t.Errorf("handled before they were welcomed: %q", early)
	}
}

// The name is part of the identity, wherever it comes from.
func TestNames(t *testing.T) {
	named := make(chan *agentapi.Client, 1)
	b := startGreeter(t, &backend{opened: func(c *agentapi.Client) error { named <- c; return nil }})
	a := b.greeted(t, 0)
	a.control(t, number(1, 1), &pb.ClientName{Name: "nobody"}) // not known here
	a.control(t, number(1, 1), &pb.ClientOpen{Uid: "alice", Epoch: 7, Name: "Al", Groups: []string{"room/a", "room/b"}})
	c := <-named
	if who := c.Who(); who.Name != "Al" || !slices.Equal(c.Groups(), []string{"room/a", "room/b"}) {
		t.Errorf("%+v in %q", who, c.Groups())
	}
	a.control(t, number(1, 1), &pb.ClientName{Name: "Alicia"})
	cluster.Eventually(t, "the new name", func() bool { return c.Who() == agentapi.Identity{UID: "alice", Epoch: 7, Name: "Alicia"} })
	if err := c.SetName(strings.Repeat("x", agentapi.MaxName+1)); err == nil {
		t.Error("a name that long was taken")
	}
	if err := c.SetName("Bob"); err != nil || c.Who().Name != "Bob" {
		t.Errorf("%v, %+v", err, c.Who())
	}
	a.want(t, link.Control, number(1, 1), &pb.ClientName{Name: "Bob"})
	for range 300 {
		if err := c.Join(fmt.Sprint("room/", len(c.Groups()))); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(c.Groups()); n != 256 {
		t.Errorf("in %d groups", n)
	}
}
