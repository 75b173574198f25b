package world_test

import (
	"context"
	"flag"
	"testing"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/agent/agentapi"
	"github.com/davyxu/cellmesh_demo/tool/cluster"
	"github.com/davyxu/cellmesh_demo/util/msgmux"
)

// watcher is a service that wants to know who is online.
type watcher struct{ clients *agentapi.Server }

func (w *watcher) Start(ctx context.Context, app *basefx.App) (err error) {
	if w.clients, err = agentapi.Serve(ctx, app, w); err == nil {
		w.clients.Greet()
	}
	return err
}

func (w *watcher) Opened(context.Context, *agentapi.Client) error { return nil }

func (w *watcher) Message(context.Context, *agentapi.Client, uint16, []byte) (msgmux.Message, error) {
	return nil, nil
}

func (w *watcher) Closed(context.Context, *agentapi.Client, string) {}

// The name that a player has, takes, and has taken at another game is known to
// services that ask who is online.
func TestNamesAreTold(t *testing.T) {
	c, game, tokens := startCheap(t)
	w := &watcher{}
	c.LaunchAs("social", func(*flag.FlagSet) basefx.Service { return w }).WaitReady()
	called := func(want string) {
		t.Helper()
		cluster.Eventually(t, "alice is called "+want, func() bool {
			u, _ := w.clients.Online("alice")
			return u.Name == want
		})
	}
	p := join(t, c, tokens, "alice", self)
	called("alice")
	rename := func(id, to string) {
		t.Helper()
		var ack pb.RenameACK
		if p.ask(&pb.RenameREQ{RequestId: id, Name: to}, &ack); ack.Result != pb.ResultCode_NoError {
			t.Fatal(&ack)
		}
	}
	rename("1", "Al")
	called("Al")
	rename("2", "Alicia")
	called("Alicia")
	rename("1", "Al") // came late: it was done already
	p.ask(&pb.PlayerREQ{}, &pb.PlayerACK{})
	called("Alicia")

	first, _ := w.clients.Online("alice")
	p = join(t, c, tokens, "alice", self)
	cluster.Eventually(t, "the new login is known", func() bool {
		u, _ := w.clients.Online("alice")
		return u.Epoch > first.Epoch && u.Name == "Alicia"
	})
	if err := game.Stop(); err != nil {
		t.Fatal(err)
	}
	c.Launch("game").WaitReady()
	var ack pb.PlayerACK
	if p.ask(&pb.PlayerREQ{}, &ack); ack.Name != "Alicia" {
		t.Errorf("at the next game: %v", &ack)
	}
	rename("3", "Alice")
	called("Alice")
}
