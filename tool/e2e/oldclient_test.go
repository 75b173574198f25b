//go:build unix

package e2e

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// The packets of a client of 2019, as bytes; none of our code made them.
const (
	goldenLogin = "13 00 95 49 0a 03 31 2e 30 12 04 64 65 6d 6f 1a 04 31 32 33 34"
	goldenChat  = "09 00 7c 71 0a 05 68 65 6c 6c 6f"
	goldenPing  = "02 00 71 3f"
)

// The IDs that it knows.
const (
	pingACK   = 16241
	loginACK  = 46204
	verifyREQ = 13457
	verifyACK = 40824
	chatACK   = 56419
)

// A client of 2019 logs in, verifies, chats and pings over TCP, and hears
// nothing that it does not know.
func TestOldClient(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	all := s.up()

	login := dial(t, all["login"].field("clients"))
	login.send(goldenLogin)
	id, body := login.next()
	if id != loginACK {
		t.Fatalf("login answers with message %d: %x", id, body)
	}
	ack := fields(t, body)
	server := fields(t, []byte(ack[2]))
	if ack[1] != "" || ack[3] == "" || ack[4] != "game#0@dev" || server[1] != "127.0.0.1" {
		t.Fatalf("LoginACK has result %q, server %q, game %q", ack[1], server, ack[4])
	}

	agent := dial(t, net.JoinHostPort(server[1], server[2]))
	verify := protowire.AppendTag(nil, 1, protowire.BytesType)
	verify = protowire.AppendString(verify, ack[3])
	verify = protowire.AppendTag(verify, 2, protowire.BytesType)
	verify = protowire.AppendString(verify, ack[4])
	agent.sendFrame(verifyREQ, verify)
	if id, body := agent.next(); id != verifyACK || fields(t, body)[1] != "" {
		t.Fatalf("VerifyREQ is answered with message %d: %x", id, body)
	}
	agent.send(goldenChat)
	if id, body := agent.next(); id != chatACK || string(body) != "\x0a\x05hello" {
		t.Fatalf("ChatREQ is answered with message %d: %x", id, body)
	}
	agent.send(goldenPing)
	if id, body := agent.next(); id != pingACK || len(body) != 0 {
		t.Fatalf("PingACK is answered with message %d: %x", id, body)
	}

	// A new client comes, uses what is new, and leaves.
	alice := s.client("alice")
	alice.chats()
	alice.enter("/help")
	alice.says("/quit")
	if id, body := agent.next(); id != chatACK || !strings.HasPrefix(fields(t, body)[1], "alice says ") {
		t.Fatalf("instead of alice's line came message %d: %x", id, body)
	}
	alice.leaves()

	// What nobody knows is no reason to hear something new, or to be cut.
	agent.sendFrame(1, []byte("what is this"))
	agent.send(goldenChat)
	if id, body := agent.next(); id != chatACK {
		t.Fatalf("after an unknown message came message %d: %x", id, body)
	}
	agent.send(goldenPing)
	if id, body := agent.next(); id != pingACK {
		t.Fatalf("PingACK is answered with message %d: %x", id, body)
	}
	agent.quiet(time.Second)
}

// oldClient is a connection of a client of 2019.
type oldClient struct {
	t    *testing.T
	conn net.Conn
}

func dial(t *testing.T, addr string) *oldClient {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, deadline)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &oldClient{t, conn}
}

// send sends bytes as they are.
func (c *oldClient) send(hexText string) {
	c.t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(hexText, " ", ""))
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

func (c *oldClient) sendFrame(id uint16, body []byte) {
	c.t.Helper()
	b := binary.LittleEndian.AppendUint16(nil, uint16(2+len(body)))
	b = binary.LittleEndian.AppendUint16(b, id)
	if _, err := c.conn.Write(append(b, body...)); err != nil {
		c.t.Fatal(err)
	}
}

// next reads the next message.
func (c *oldClient) next() (id uint16, body []byte) {
	c.t.Helper()
	c.conn.SetReadDeadline(time.Now().Add(deadline))
	var head [4]byte
	if _, err := io.ReadFull(c.conn, head[:]); err != nil {
		c.t.Fatal(err)
	}
	size := binary.LittleEndian.Uint16(head[:])
	if size < 2 {
		c.t.Fatalf("a frame of size %d", size)
	}
	body = make([]byte, size-2)
	if _, err := io.ReadFull(c.conn, body); err != nil {
		c.t.Fatal(err)
	}
	return binary.LittleEndian.Uint16(head[2:]), body
}

// quiet fails when anything comes within d, the end of the connection too.
func (c *oldClient) quiet(d time.Duration) {
	c.t.Helper()
	c.conn.SetReadDeadline(time.Now().Add(d))
	b, err := io.ReadAll(c.conn)
	if !errors.Is(err, os.ErrDeadlineExceeded) || len(b) > 0 {
		c.t.Fatalf("came %x, %v; nothing should", b, err)
	}
}

// fields reads a protobuf message without knowing it: bytes as text, numbers
// in decimal, by field number.
func fields(t *testing.T, b []byte) map[protowire.Number]string {
	t.Helper()
	found := map[protowire.Number]string{}
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			t.Fatalf("no protobuf: %x", b)
		}
		b = b[n:]
		switch kind {
		case protowire.VarintType:
			v, n := protowire.ConsumeVarint(b)
			found[number] = fmt.Sprint(v)
			b = b[max(n, 0):]
		case protowire.BytesType:
			v, n := protowire.ConsumeBytes(b)
			found[number] = string(v)
			b = b[max(n, 0):]
		default:
			t.Fatalf("field %d of an unexpected kind", number)
		}
	}
	return found
}
