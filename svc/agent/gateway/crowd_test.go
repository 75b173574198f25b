package gateway_test

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/agent/gateway"
	"github.com/davyxu/cellmesh_demo/tool/cluster"
)

// Introducing very many clients at once, to an instance that has come up and to
// another one when that has gone, holds up nobody: others echo on meanwhile, and
// the links take it. Those who watch know all of them.
func TestCrowd(t *testing.T) {
	const many = 5_000
	r := emptyRig(t)
	r.LogLevel = "info,msg=info"
	r.game = r.stub(t, "game")
	var agent basefx.Service
	r.agent = r.LaunchAs("agent", func(fs *flag.FlagSet) basefx.Service {
		agent = gateway.New(fs)
		return agent
	}).WaitReady()
	w := r.witness(t)
	began := time.Now()
	gateway.Populate(agent, many)
	t.Logf("%d clients made in %v", many, time.Since(began))

	know := func(s *stub, what string) {
		t.Helper()
		began := time.Now()
		cluster.Eventually(t, what, func() bool { return s.clients.Clients() == many+1 })
		clients := time.Since(began)
		cluster.Eventually(t, what, func() bool { return s.clients.OnlineCount() == many+1 })
		t.Logf("%s: clients after %v, who is online after %v; the witness waited %v at most", what, clients, time.Since(began), w.longest())
	}
	first := r.greeter(t)
	know(first, "introduced to the first")
	second := r.greeter(t)
	r.linked(t, "social", 2)
	cluster.Eventually(t, "the second knows who is online", func() bool { return second.clients.OnlineCount() == many+1 })
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	know(second, "introduced to the second")
	began = time.Now()
	gateway.Depopulate(agent)
	cluster.Eventually(t, "all but the witness are gone", func() bool { return second.clients.OnlineCount() == 1 && second.clients.Clients() == 1 })
	t.Logf("gone after %v", time.Since(began))
	w.undisturbed(t)
}

// An instance that hardly reads is not sent more than a link can take: its
// clients wait, or go to another one that reads. It does not hold up what the
// agent does otherwise.
func TestIntroductionsWait(t *testing.T) {
	const many = 2000
	r := emptyRig(t)
	r.LogLevel = "info,msg=info"
	r.game = r.stub(t, "game")
	hold := make(chan struct{})
	deaf := r.line(t, "social", held(hold, 20*time.Millisecond))
	var agent basefx.Service
	r.agent = r.LaunchAs("agent", func(fs *flag.FlagSet) basefx.Service {
		agent = gateway.New(fs)
		return agent
	}).WaitReady()
	w := r.witness(t)
	r.enter(t, "tcp", "holder", oldClient).send(t, &pb.ChatREQ{})
	cluster.Eventually(t, "the client is introduced", func() bool { return deaf.count() > 0 })
	l := r.agent.App.Links.Get(deaf.App.Self().ID)

	groups := make([]string, 64) // so that each introduction is large: 32 MB in all
	for i := range groups {
		groups[i] = fmt.Sprintf("%02d%s", i, strings.Repeat("x", 248))
	}
	gateway.Populate(agent, many, groups...)
	deaf.control(t, 0, &pb.Greet{})
	cluster.Eventually(t, "as much waits as may", func() bool { return l.Pending() > 1<<20 })
	w.undisturbed(t)
	if n := l.Pending(); n > 3<<20 {
		t.Errorf("%d bytes wait for an instance that hardly reads", n)
	}
	good := r.greeter(t)
	cluster.Eventually(t, "others are introduced to the one that reads", func() bool { return good.clients.Clients() > many/2 })
	cluster.Eventually(t, "who is online is known there", func() bool { return good.clients.OnlineCount() == many+2 })
	close(hold)
	cluster.Eventually(t, "nobody is left out", func() bool {
		return good.clients.Clients()+deaf.count()-2 == many+1 // without "open holder" and its message; with the witness
	})
	if l.Ended() != nil {
		t.Errorf("the link has ended: %v", l.Ended())
	}
	w.undisturbed(t)
}
