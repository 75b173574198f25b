package gateway_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/agent/agentapi"
	"github.com/davyxu/cellmesh_demo/tool/cluster"
)

// opened are the uids that were introduced to a stub, in order; each as often as
// it was.
func (s *stub) opened() (uids []string) {
	for _, e := range s.all() {
		if uid, is := strings.CutPrefix(e, "opened "); is {
			uids = append(uids, uid)
		}
	}
	return uids
}

// wantSpread waits until each of these uids was introduced to exactly one of the
// stubs, and to each stub about as many.
func wantSpread(t *testing.T, uids []string, all ...*stub) {
	t.Helper()
	var got []string
	cluster.Eventually(t, fmt.Sprintf("%d clients are introduced", len(uids)), func() bool {
		got = nil
		for _, s := range all {
			got = append(got, s.opened()...)
		}
		return len(got) >= len(uids)
	})
	slices.Sort(got)
	want := slices.Sorted(slices.Values(uids))
	if !slices.Equal(got, want) {
		t.Fatalf("introduced %q, want %q", got, want)
	}
	for _, s := range all {
		if n, even := len(s.opened()), len(uids)/len(all); n < even-1 || n > even+1 {
			t.Errorf("%s has %d of %d clients", s.App.Self().ID, n, len(uids))
		}
	}
}

// A service that wants to know everybody is introduced to each client once, at
// one instance: to those that were here before it, to those that come, and to
// those of an instance that dies.
func TestGreet(t *testing.T) {
	r := newRig(t)
	enter := func(from, to int) (uids []string) {
		for i := from; i < to; i++ {
			uid := fmt.Sprint("user", i)
			r.enter(t, []string{"tcp", "ws"}[i%2], uid, oldClient)
			uids = append(uids, uid)
		}
		return uids
	}
	early := enter(0, 10)
	unverified := r.dial(t, "tcp")
	unverified.send(t, &pb.PingACK{})
	unverified.want(t, &pb.PingACK{})
	first := r.greeter(t)
	wantSpread(t, early, first)
	second := r.greeter(t)
	r.linked(t, "social", 2)
	// The one that has come later gets the new ones until it has as many.
	wantSpread(t, slices.Concat(early, enter(10, 30)), first, second)

	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	all := slices.Concat(early, enter(30, 31))
	for i := 10; i < 30; i++ {
		all = append(all, fmt.Sprint("user", i))
	}
	wantSpread(t, all, second)

	// None is left: who comes meanwhile and who is there waits for the next.
	if err := second.Stop(); err != nil {
		t.Fatal(err)
	}
	all = append(all, enter(31, 33)...)
	third := r.greeter(t)
	wantSpread(t, all, third)
	if n := third.clients.OnlineCount(); n != len(all) {
		cluster.Eventually(t, "everybody is online", func() bool { return third.clients.OnlineCount() == len(all) })
	}
	wantMetric(t, third.Process, "backend_clients", float64(len(all)))
}

// An introduction tells the name and the groups; both are kept up to date.
func TestIntroduction(t *testing.T) {
	r := newRig(t)
	social := r.greeter(t)
	p := r.enter(t, "tcp", "alice", newClient)
	social.wantEvent(t, "opened alice")
	c := social.client(t, "alice")
	if who := c.Who(); who != (agentapi.Identity{UID: "alice", Epoch: 1, Features: newClient, Name: "ALICE"}) || len(c.Groups()) > 0 {
		t.Fatalf("introduced as %+v in %q", who, c.Groups())
	}
	for _, group := range []string{"room/tea", "room/bar", "room/out", "room/tea"} {
		if err := c.Join(group); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Leave("room/out"); err != nil {
		t.Fatal(err)
	}
	if err := r.game.client(t, "alice").SetName("Alicia"); err != nil {
		t.Fatal(err)
	}
	cluster.Eventually(t, "the social knows the new name", func() bool {
		u, _ := social.clients.Online("alice")
		return c.Who().Name == "Alicia" && u.Name == "Alicia"
	})
	if got := c.Groups(); !slices.Equal(got, []string{"room/tea", "room/bar"}) {
		t.Errorf("groups %q", got)
	}
	if err := social.Stop(); err != nil {
		t.Fatal(err)
	}
	social = r.greeter(t)
	social.wantEvent(t, "opened alice")
	c = social.client(t, "alice")
	if got := c.Groups(); c.Who().Name != "Alicia" || !slices.Equal(got, []string{"room/bar", "room/tea"}) {
		t.Errorf("introduced again as %+v in %q", c.Who(), got)
	}
	p.wantEcho(t, "nothing was sent to the client")
}

// Who is online is known to every instance, whichever agent they are at, and so
// is who has left and whose agent has gone.
func TestOnline(t *testing.T) {
	r := newRig(t)
	second := &rig{Cluster: r.Cluster, game: r.game, agent: r.Launch("agent").WaitReady()}
	agents := []*rig{r, second}
	r.enter(t, "tcp", "u0", oldClient)
	socials := []*stub{r.greeter(t), r.greeter(t)}
	var all []*peer
	for i := 1; i < 7; i++ {
		all = append(all, agents[i%2].enter(t, "tcp", fmt.Sprint("u", i), newClient))
	}
	online := func(want ...string) {
		t.Helper()
		for _, s := range socials {
			var got []string
			cluster.Eventually(t, fmt.Sprintf("%s: %q are online", s.App.Self().ID, want), func() bool {
				got = nil
				for _, u := range s.clients.OnlineUsers(100) {
					got = append(got, u.UID)
				}
				return slices.Equal(got, want) && s.clients.OnlineCount() == len(want)
			})
		}
	}
	online("u0", "u1", "u2", "u3", "u4", "u5", "u6")
	u, ok := socials[1].clients.Online("u3")
	if want := (agentapi.User{UID: "u3", Name: "U3", Epoch: 1, Features: newClient, Agent: second.agent.App.Self().ID}); !ok || u != want {
		t.Errorf("u3 is %+v, %v, want %+v", u, ok, want)
	}
	if got := socials[0].clients.OnlineUsers(2); len(got) != 2 || got[1].UID != "u1" {
		t.Errorf("the first two are %+v", got)
	}
	all[1].session.Close(nil) // u2
	online("u0", "u1", "u3", "u4", "u5", "u6")
	if _, ok := socials[0].clients.Online("u2"); ok {
		t.Error("u2 is online yet")
	}
	if err := second.agent.Stop(); err != nil {
		t.Fatal(err)
	}
	online("u0", "u4", "u6")
}

// A message for a player arrives at whatever agent; the sender learns whether.
func TestDeliver(t *testing.T) {
	r := newRig(t)
	second := &rig{Cluster: r.Cluster, game: r.game, agent: r.Launch("agent").WaitReady()}
	social := r.greeter(t)
	alice, bob := r.enter(t, "tcp", "alice", oldClient), second.enter(t, "ws", "bob", oldClient)
	cluster.Eventually(t, "both are online", func() bool { return social.clients.OnlineCount() == 2 })
	for uid, p := range map[string]*peer{"alice": alice, "bob": bob} {
		done, err := social.clients.Deliver(t.Context(), uid, &pb.ChatACK{Content: "for " + uid})
		if err != nil || !done {
			t.Errorf("%s: %v, %v", uid, done, err)
		}
		p.want(t, &pb.ChatACK{Content: "for " + uid})
	}
	if done, err := social.clients.Deliver(t.Context(), "carol", &pb.ChatACK{}); err != nil || done {
		t.Errorf("carol: %v, %v", done, err)
	}
	bob.session.Close(nil)
	bob.wantEnd(t)
	cluster.Eventually(t, "bob is gone", func() bool {
		done, err := social.clients.Deliver(t.Context(), "bob", &pb.ChatACK{})
		if err != nil {
			t.Fatal(err)
		}
		return !done
	})
	alice.wantEcho(t, "nothing else")
}

// The members of a group are those at all agents.
func TestMembers(t *testing.T) {
	r := newRig(t)
	second := &rig{Cluster: r.Cluster, game: r.game, agent: r.Launch("agent").WaitReady()}
	social := r.greeter(t)
	for i := range 6 {
		uid := fmt.Sprint("u", i)
		[]*rig{r, second}[i%2].enter(t, "tcp", uid, newClient)
		social.wantEvent(t, "opened "+uid)
		if i == 0 {
			continue
		}
		if err := social.client(t, uid).Join("room/tea"); err != nil {
			t.Fatal(err)
		}
	}
	users, err := social.clients.Members(t.Context(), "room/tea")
	if err != nil || len(users) != 5 {
		t.Fatalf("%+v, %v", users, err)
	}
	for i, u := range users {
		uid := fmt.Sprint("u", i+1)
		if want := (agentapi.User{UID: uid, Name: strings.ToTitle(uid), Epoch: 1, Features: newClient, Agent: []*rig{second, r}[i%2].agent.App.Self().ID}); u != want {
			t.Errorf("got %+v, want %+v", u, want)
		}
	}
	if n, err := social.clients.CountMembers(t.Context(), "room/tea"); n != 5 || err != nil {
		t.Errorf("%d members, %v", n, err)
	}
	if users, err := social.clients.Members(t.Context(), "room/nobody"); len(users) > 0 || err != nil {
		t.Errorf("%v, %v", users, err)
	}
}

// An audience is a group, or all, and of those who understand, or do not.
func TestAudience(t *testing.T) {
	r := newRig(t)
	social := r.greeter(t)
	var all []*peer
	for i, features := range []uint32{0, 1, 2, 3} {
		uid := fmt.Sprint("u", i)
		all = append(all, r.enter(t, []string{"tcp", "ws"}[i%2], uid, features))
		social.wantEvent(t, "opened "+uid)
		if i > 0 {
			if err := social.client(t, uid).Join("room/tea"); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, c := range []struct {
		to  agentapi.Audience
		who []int
	}{
		{agentapi.Audience{}, []int{0, 1, 2, 3}},
		{agentapi.Audience{With: 2}, []int{2, 3}},
		{agentapi.Audience{Without: 2}, []int{0, 1}},
		{agentapi.Audience{With: 1, Without: 2}, []int{1}},
		{agentapi.Audience{With: 3}, []int{3}},
		{agentapi.Audience{Group: "room/tea"}, []int{1, 2, 3}},
		{agentapi.Audience{Group: "room/tea", Without: 1}, []int{2}},
		{agentapi.Audience{Group: "room/nobody", With: 1}, nil},
	} {
		line := &pb.ChatACK{Content: fmt.Sprint("push ", i)}
		if err := social.clients.Push(c.to, line); err != nil {
			t.Fatal(err)
		}
		for _, i := range c.who {
			all[i].want(t, line)
		}
	}
	for _, p := range all {
		p.wantEcho(t, "nothing else")
	}
}
