package cluster

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/client/clientapi"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// inbox is a client's handler that remembers what came.
type inbox struct {
	mu  sync.Mutex
	got []string
}

func (i *inbox) Message(id uint16, body []byte) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch id {
	case pb.ChatACKID:
		var m pb.ChatACK
		if err := proto.Unmarshal(body, &m); err != nil {
			return err
		}
		i.got = append(i.got, "chat "+m.Content)
	case pb.EchoACKID:
		var m pb.EchoACK
		if err := proto.Unmarshal(body, &m); err != nil {
			return err
		}
		i.got = append(i.got, "echo "+string(m.Content))
	case pb.RejectACKID:
		var m pb.RejectACK
		if err := proto.Unmarshal(body, &m); err != nil {
			return err
		}
		i.got = append(i.got, fmt.Sprintf("reject %s %v", pb.MessageName(uint16(m.MsgId)), m.Code))
	default:
		i.got = append(i.got, fmt.Sprintf("message %d", id))
	}
	return nil
}

func (i *inbox) Batch() {}

func (i *inbox) has(want string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, g := range i.got {
		if g == want {
			return true
		}
	}
	return false
}

func (i *inbox) all() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.got)
}

// Enter logs in through login#0 and connects.
func enter(t *testing.T, c *Cluster, uid, commType string) (*clientapi.Conn, *inbox) {
	t.Helper()
	cfg := &clientapi.Config{CommType: commType, Platform: "demo", UID: uid, Version: "1.0", Features: uint32(pb.VerifyREQ_Reject)}
	grant, err := clientapi.Login(t.Context(), c.Addr("login#0@dev"), cfg)
	if err != nil {
		t.Fatal(err)
	}
	box := &inbox{}
	conn, err := clientapi.Connect(t.Context(), grant, cfg, box)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn, box
}

func send(t *testing.T, conn *clientapi.Conn, m pb.Message) {
	t.Helper()
	if err := conn.Send(m); err != nil {
		t.Fatal(err)
	}
}

// A client of each kind logs in; an echo comes back to its sender alone, a line
// of chat to everybody.
func TestEchoAndChat(t *testing.T) {
	c := Start(t)
	alice, aliceBox := enter(t, c, "alice", "tcp")
	bob, bobBox := enter(t, c, "bob", "ws")
	send(t, alice, &pb.EchoREQ{Content: []byte("one")})
	Eventually(t, "alice's echo", func() bool { return aliceBox.has("echo one") })
	send(t, bob, &pb.ChatREQ{Content: "hello"})
	for _, box := range []*inbox{aliceBox, bobBox} {
		Eventually(t, "bob's line", func() bool { return box.has("chat hello") })
	}
	if bobBox.has("echo one") {
		t.Error("alice's echo came to bob")
	}
}

// A game that goes away is replaced by its next self, and its clients go on.
func TestGameRestarts(t *testing.T) {
	c := New(t)
	c.Launch("hub").WaitReady()
	game := c.Launch("game").WaitReady()
	c.Launch("social").WaitReady()
	c.Launch("agent", "-hold=1m").WaitReady() // however long a game takes to come back
	c.Launch("login").WaitReady()
	alice, box := enter(t, c, "alice", "tcp")
	send(t, alice, &pb.EchoREQ{Content: []byte("before")})
	Eventually(t, "echo before", func() bool { return box.has("echo before") })
	start := time.Now()
	if err := game.Stop(); err != nil {
		t.Fatal(err)
	}
	t.Logf("game stopped in %v", time.Since(start))
	send(t, alice, &pb.EchoREQ{Content: []byte("meanwhile")})
	c.Launch("game").WaitReady()
	Eventually(t, "echo of what was sent meanwhile", func() bool { return box.has("echo meanwhile") })
}
