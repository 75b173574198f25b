package agentapi_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/agent/agentapi"
	"github.com/davyxu/cellmesh_demo/util/msgmux"
)

// retire calls Retire and gives what it returns.
func (b *backend) retire(ctx context.Context) <-chan error {
	done := make(chan error, 1)
	go func() { done <- b.srv.Retire(ctx) }()
	return done
}

func returned(t *testing.T, done <-chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		t.Fatalf("Retire does not return within %v", patience)
	}
	panic("unreachable")
}

// A backend that retires asks its agents, handles what has come before they answer,
// ends with every client, and asks again behind all that it has said.
func TestRetire(t *testing.T) {
	gate, closed := make(chan struct{}), make(chan string, 10)
	b := start(t, &backend{
		blocks: func(uint16) bool { return true },
		message: func(c *agentapi.Client, id uint16, body []byte) (msgmux.Message, error) {
			<-gate
			return echo(c, id, body)
		},
		closed: func(c *agentapi.Client, reason string) { closed <- c.Who().UID + " is " + reason },
	})
	one, two := b.agent(t, 1), b.agent(t, 2)
	alice, bob := number(1, 0), number(1, 1)
	one.control(t, alice, &pb.ClientOpen{Uid: "alice", Epoch: 1})
	one.send(t, alice, content("before"))
	one.flush()

	done := b.retire(t.Context())
	req := hear[pb.RetireREQ](t, one)
	one.send(t, alice, content("on its way"))
	one.flush()
	one.control(t, 0, &pb.RetireACK{Call: req.Call})
	one.control(t, bob, &pb.ClientOpen{Uid: "bob", Epoch: 1}) // the agent has not heard yet that we leave
	two.control(t, 0, &pb.RetireACK{Call: hear[pb.RetireREQ](t, two).Call})
	select {
	case err := <-done:
		t.Fatalf("it did not wait for the handlers: %v", err)
	case s := <-one.heard:
		t.Fatalf("it says %v before the handlers have ended", s)
	case <-time.After(50 * time.Millisecond):
	}
	close(gate)
	one.want(t, link.ToClient, alice, answer("before"))
	one.want(t, link.ToClient, alice, answer("on its way"))
	for _, a := range []*line{one, two} {
		a.control(t, 0, &pb.RetireACK{Call: hear[pb.RetireREQ](t, a).Call})
	}
	if err := returned(t, done); err != nil {
		t.Error(err)
	}
	if got := <-closed; got != "alice is handed over" || len(closed) > 0 || b.srv.Clients() != 0 {
		t.Errorf("%s, %d more; %d clients left", got, len(closed), b.srv.Clients())
	}
}

// An agent that ends meanwhile is not waited for; one that does not answer is
// named, as are handlers that do not end.
func TestRetireInVain(t *testing.T) {
	gate := make(chan struct{})
	b := start(t, &backend{
		blocks:  func(uint16) bool { return true },
		message: func(*agentapi.Client, uint16, []byte) (msgmux.Message, error) { <-gate; return nil, nil },
	})
	defer close(gate)
	if err := b.srv.Retire(t.Context()); err != nil {
		t.Errorf("without agents: %v", err)
	}
	a := b.agent(t, 1)
	done := b.retire(t.Context())
	hear[pb.RetireREQ](t, a)
	a.stop()
	if err := returned(t, done); err != nil {
		t.Errorf("the agent has ended: %v", err)
	}

	a = b.agent(t, 2)
	a.send(t, number(1, 0), content("never handled"))
	a.flush()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := b.srv.Retire(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "agent#2@dev") {
		t.Errorf("no answer: %v", err)
	}
	hear[pb.RetireREQ](t, a)
	ctx, cancel = context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	done = b.retire(ctx)
	a.control(t, 0, &pb.RetireACK{Call: hear[pb.RetireREQ](t, a).Call})
	if err := returned(t, done); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a handler does not end: %v", err)
	}
}
