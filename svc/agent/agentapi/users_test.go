package agentapi_test

import (
	"fmt"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/agent/agentapi"
	"github.com/davyxu/cellmesh_demo/tool/cluster"
	"github.com/davyxu/cellmesh_demo/util/msgmux"
)

// Who is let in is told to all other agents at once, and to those that come
// later all together, until it is let out.
func TestLetIn(t *testing.T) {
	b := &backend{}
	b.message = func(c *agentapi.Client, id uint16, body []byte) (msgmux.Message, error) {
		var m pb.VerifyREQ
		if err := proto.Unmarshal(body, &m); err != nil {
			return nil, err
		}
		if err := c.Bind(agentapi.Identity{UID: m.GameToken, Epoch: 5}); err != nil {
			return nil, err
		}
		b.srv.LetIn(c)
		return nil, nil
	}
	b.closed = func(c *agentapi.Client, _ string) { b.srv.LetOut(c) }
	start(t, b)
	first, second := b.agent(t, 0), b.agent(t, 1)
	first.send(t, number(1, 1), &pb.VerifyREQ{GameToken: "alice"})
	first.flush()
	first.want(t, link.Control, number(1, 1), &pb.BindBackendACK{Uid: "alice", Epoch: 5})
	second.want(t, link.Control, 0, &pb.UsersIn{Users: []*pb.UsersIn_User{{Uid: "alice", Epoch: 5}}})

	const many = 2500
	for i := range many {
		first.send(t, number(1, 2+i), &pb.VerifyREQ{GameToken: fmt.Sprint("u", i)})
	}
	first.flush()
	for range many {
		second.next(t)
	}
	first.control(t, number(1, 1), &pb.ClientClosed{Reason: "left"})
	cluster.Eventually(t, "alice has left", func() bool { return b.srv.Clients() == many })

	third := b.agent(t, 2)
	told := map[string]bool{}
	for len(told) < many {
		got := third.next(t)
		var m pb.UsersIn
		if got.id != pb.UsersInID || proto.Unmarshal([]byte(got.body), &m) != nil || len(m.Users) > 1000 {
			t.Fatalf("got %v", got)
		}
		for _, u := range m.Users {
			told[u.Uid] = true
			if u.Epoch != 5 {
				t.Errorf("told %v", u)
			}
		}
	}
	if told["alice"] {
		t.Error("told that alice is in")
	}
}

// Messages that are known to block run all at once, and hold up nobody.
func TestBlocks(t *testing.T) {
	const many = 300
	var began sync.WaitGroup
	began.Add(many)
	b := &backend{blocks: func(id uint16) bool { return id == pb.VerifyREQID }}
	b.message = func(c *agentapi.Client, id uint16, body []byte) (msgmux.Message, error) {
		if id == pb.EchoREQID {
			return echo(c, id, body)
		}
		began.Done()
		began.Wait()
		return &pb.VerifyACK{}, nil
	}
	start(t, b)
	a := b.agent(t, 0)
	for i := range many - 1 {
		a.send(t, number(1, i), &pb.VerifyREQ{})
	}
	a.send(t, number(1, many), content("hi"))
	a.flush()
	a.want(t, link.ToClient, number(1, many), answer("hi"))
	a.send(t, number(1, many-1), &pb.VerifyREQ{})
	a.flush()
	for range many {
		if got := a.next(t); got.id != pb.VerifyACKID {
			t.Fatalf("got %v", got)
		}
	}
}
