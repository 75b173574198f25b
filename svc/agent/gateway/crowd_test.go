package gateway_test

import (
	"flag"
	"testing"
	"time"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/svc/agent/gateway"
	"github.com/davyxu/cellmesh_demo/tool/cluster"
)

// Introducing very many clients at once, to an instance that has come up and to
// another one when that has gone, holds up nobody: others echo on meanwhile, and
// the links take it. Those who watch know all of them.
func TestCrowd(t *testing.T) {
	const many = 20_000
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
