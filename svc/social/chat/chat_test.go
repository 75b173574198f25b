package chat_test

import (
	"encoding/hex"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/tool/cluster"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func packet(t *testing.T, m pb.Message) []byte {
	t.Helper()
	body, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return packetOf(m.MsgID(), string(body))
}

func packetOf(id uint16, body string) []byte {
	n := 2 + len(body)
	return append([]byte{byte(n), byte(n >> 8), byte(id), byte(id >> 8)}, body...)
}

func golden(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func want(t *testing.T, c net.Conn, packet []byte) {
	t.Helper()
	got := make([]byte, len(packet))
	if n, err := io.ReadFull(c, got); err != nil || string(got) != string(packet) {
		t.Fatalf("got % x, %v, want % x", got[:n], err, packet)
	}
}

// A line goes to everybody, its sender too, byte for byte as clients of 2019
// say and expect it; what is no line goes to nobody, and its sender is told if
// it understands.
func TestWorldChat(t *testing.T) {
	c := cluster.New(t)
	tokens := c.NewTokens()
	for _, name := range []string{"game", "social", "agent"} {
		c.Launch(name).WaitReady()
	}
	enter := func(uid string, features uint32) net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", c.Addr("agent#0@dev"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(time.Minute))
		conn.Write(packet(t, &pb.VerifyREQ{GameToken: tokens.New(uid, "game#0@dev"), Features: features}))
		want(t, conn, packet(t, &pb.VerifyACK{}))
		return conn
	}
	old, knows := enter("old", 0), enter("new", uint32(pb.VerifyREQ_Reject))
	old.Write(golden(t, "09 00 7c 71 0a 05 68 65 6c 6c 6f"))
	for _, conn := range []net.Conn{old, knows} {
		want(t, conn, golden(t, "09 00 63 dc 0a 05 68 65 6c 6c 6f"))
	}
	for _, conn := range []net.Conn{old, knows} {
		conn.Write(packetOf(pb.ChatREQID, "\n\x01\xff")) // no UTF-8
		conn.Write(packet(t, &pb.ChatREQ{Content: "next"}))
		if conn == knows {
			want(t, conn, packet(t, &pb.RejectACK{MsgId: uint32(pb.ChatREQID), Code: pb.ResultCode_BadRequest, Reason: "the message does not parse"}))
		}
		for _, to := range []net.Conn{old, knows} {
			want(t, to, packet(t, &pb.ChatACK{Content: "next"}))
		}
	}
}
