package gateway_test

import (
	"testing"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/tool/cluster"
)

// arrive is a client on its way in: its VerifyREQ has reached the game, which
// numbers it n.
func (r *rig) arrive(t *testing.T, game *line, n int, features uint32) (*peer, uint64) {
	t.Helper()
	p := r.dial(t, "tcp")
	p.send(t, &pb.VerifyREQ{Features: features})
	cluster.Eventually(t, "the game has the client's message", func() bool {
		game.mu.Lock()
		defer game.mu.Unlock()
		return len(game.ids) > n
	})
	return p, game.id(n)
}

// A login ends the older one of its uid, here or elsewhere, the reason told
// first; an older one that arrives late does not get in. Others do not notice.
func TestSingleLogin(t *testing.T) {
	const knows = uint32(pb.VerifyREQ_Reject)
	r := emptyRig(t)
	game := r.line(t, "game", nil)
	r.agent = r.Launch("agent").WaitReady()
	bind := func(id uint64, uid string, epoch uint64) {
		t.Helper()
		game.control(t, id, &pb.BindBackendACK{Uid: uid, Epoch: epoch, Features: knows})
	}
	news := func(uid string, epoch uint64) {
		t.Helper()
		game.control(t, 0, &pb.UsersIn{Users: []*pb.UsersIn_User{{Uid: "nobody", Epoch: 1}, {Uid: uid, Epoch: epoch}}})
	}
	elsewhere := func(p *peer) {
		t.Helper()
		p.wantReject(t, 0, pb.ResultCode_LoggedInElsewhere)
		p.wantEnd(t)
	}
	bob, bobID := r.arrive(t, game, 0, knows)
	bind(bobID, "bob", 1)

	first, firstID := r.arrive(t, game, 1, knows)
	bind(firstID, "alice", 1)
	second, secondID := r.arrive(t, game, 2, knows)
	bind(secondID, "alice", 2)
	elsewhere(first)

	news("alice", 1) // old
	news("alice", 2) // itself
	game.push(t, secondID, &pb.ChatACK{Content: "still here"})
	second.want(t, &pb.ChatACK{Content: "still here"})
	news("alice", 3)
	elsewhere(second)

	late, lateID := r.arrive(t, game, 3, knows)
	bind(lateID, "alice", 2)
	elsewhere(late)

	old, oldID := r.arrive(t, game, 4, 0)
	game.control(t, oldID, &pb.BindBackendACK{Uid: "alice", Epoch: 4})
	wantMetric(t, r.agent, "agent_users", 2)
	news("alice", 5) // an old client is not told what it does not know
	old.wantEnd(t)
	if len(old.got) != 0 {
		t.Errorf("an old client got %v", old.next(t))
	}
	r.closed(t, "elsewhere", 4)
	game.push(t, bobID, &pb.ChatACK{Content: "hi"})
	bob.want(t, &pb.ChatACK{Content: "hi"})
	wantMetric(t, r.agent, "agent_users", 1)
}
