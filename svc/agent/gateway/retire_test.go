package gateway_test

import (
	"testing"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/tool/cluster"
)

// A backend that retires gets no more messages of clients: they wait until it has
// finished with those that it has, and then go to another instance, whatever it has
// done to the client by then. Nobody else waits.
func TestRetire(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	first := r.line(t, "social", nil)
	p, w := r.enter(t, "tcp", "alice", newClient), r.witness(t)
	p.send(t, &pb.ChatREQ{Content: "one"})
	first.wantEvents(t, "open alice", "ChatREQ")
	second := r.stub(t, "social")
	r.linked(t, "social", 2)

	first.control(t, 0, &pb.RetireREQ{Call: 1})
	first.wantEvents(t, "open alice", "ChatREQ", "retired")
	p.send(t, &pb.ChatREQ{Content: "two"})
	p.send(t, &pb.SayREQ{Text: "three"})
	p.send(t, &pb.EchoREQ{}) // waits behind them
	first.push(t, first.id(0), &pb.ChatACK{Content: "answer to one"})
	p.want(t, &pb.ChatACK{Content: "answer to one"})
	first.control(t, first.id(0), &pb.ClientJoin{Group: "room/x"})
	w.undisturbed(t)
	first.control(t, 0, &pb.RetireREQ{Call: 2}) // all that was said has been taken
	first.wantEvents(t, "open alice", "ChatREQ", "retired", "retired")
	if events := second.all(); len(events) > 0 {
		t.Errorf("it did not wait: %q", events)
	}

	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	p.want(t, &pb.EchoACK{})
	cluster.Eventually(t, "the second has it all", func() bool { return len(second.all()) == 3 })
	if got := second.all(); got[0] != "opened alice" || got[1] != `ChatREQ from "alice"` || got[2] != `SayREQ from "alice"` {
		t.Errorf("%q", got)
	}
	if groups := second.client(t, "alice").Groups(); len(groups) != 1 || groups[0] != "room/x" {
		t.Errorf("she is in %q", groups)
	}
}
