package world_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/login/loginapi"
	"github.com/davyxu/cellmesh_demo/tool/cluster"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// client is a connection to the agent that speaks bytes.
type client struct {
	t    *testing.T
	conn net.Conn
}

func dial(t *testing.T, c *cluster.Cluster) *client {
	t.Helper()
	conn, err := net.Dial("tcp", c.Addr("agent#0@dev"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return &client{t, conn}
}

func (c *client) write(packet []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(packet); err != nil {
		c.t.Fatal(err)
	}
}

// want reads one packet, which must be this.
func (c *client) want(packet []byte) {
	c.t.Helper()
	got := make([]byte, len(packet))
	if n, err := io.ReadFull(c.conn, got); err != nil {
		c.t.Fatalf("got % x, %v, want % x", got[:n], err, packet)
	}
	if string(got) != string(packet) {
		c.t.Fatalf("got % x, want % x", got, packet)
	}
}

func packet(t *testing.T, m pb.Message) []byte {
	t.Helper()
	body, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	n, id := 2+len(body), m.MsgID()
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

// start runs a game and an agent, and a signer whose tokens the game takes.
func start(t *testing.T) (*cluster.Cluster, *cluster.Process, *loginapi.Signer) {
	t.Helper()
	c := cluster.New(t)
	signer, err := loginapi.NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	if err := signer.Publish(context.Background(), c.Registry); err != nil {
		t.Fatal(err)
	}
	game := c.Launch("game").WaitReady()
	c.Launch("agent").WaitReady()
	return c, game, signer
}

// sign makes a token that is good for 5 minutes from then.
func sign(t *testing.T, s *loginapi.Signer, game string, then time.Time) string {
	t.Helper()
	token, err := s.Sign(loginapi.Grant{UID: "1234", Epoch: 7, GameID: game, Expires: then.Add(5 * time.Minute)}, then)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// Who shows a good token is in; who does not is told why, and may try again. An
// old client is told in the words it knows.
func TestVerify(t *testing.T) {
	c, game, signer := start(t)
	stranger, err := loginapi.NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	p := dial(t, c)
	verify := func(token string, code pb.ResultCode, reason string) {
		t.Helper()
		p.write(packet(t, &pb.VerifyREQ{GameToken: token, GameSvcId: "game#0@dev"}))
		p.want(packet(t, &pb.VerifyACK{Result: code, Reason: reason}))
	}
	p.write(golden(t, "16 00 91 34 0a 06 76 65 72 69 66 79 12 0a 67 61 6d 65 23 30 40 64 65 76"))
	p.want(packet(t, &pb.VerifyACK{Result: pb.ResultCode_TokenInvalid, Reason: "this is no token of ours: log in again"}))
	verify("", pb.ResultCode_TokenInvalid, "this is no token of ours: log in again")
	verify(sign(t, stranger, "game#0@dev", time.Now()), pb.ResultCode_TokenInvalid, "this is no token of ours: log in again")
	verify(sign(t, signer, "game#0@dev", time.Now().Add(-time.Hour)), pb.ResultCode_TokenExpired, "the token has expired: log in again")
	verify(sign(t, signer, "game#7@dev", time.Now()), pb.ResultCode_GameNotFound, "the game that login chose is gone: log in again")
	good := sign(t, signer, "game#0@dev", time.Now())
	p.write(packet(t, &pb.VerifyREQ{GameToken: good, GameSvcId: "game#0@dev"}))
	p.want(golden(t, "02 00 78 9f"))
	verify(good, pb.ResultCode_AlreadyVerified, "this connection is 1234 already")

	p.write(packet(t, &pb.EchoREQ{Content: []byte("hi")}))
	p.want(golden(t, "06 00 e2 77 0a 02 68 69"))
	players := func() float64 { return game.Metric(t, "game_players") }
	if n := players(); n != 1 {
		t.Errorf("%v players, want 1", n)
	}
	p.conn.Close()
	cluster.Eventually(t, "the player has left", func() bool { return players() == 0 })
}

// Tokens that are refused all the time do not fill the log.
func TestRefusedTokensAreToldRarely(t *testing.T) {
	c, game, _ := start(t)
	const clients, tries = 10, 20
	for range clients {
		p := dial(t, c)
		for i := range tries {
			p.write(packet(t, &pb.VerifyREQ{GameToken: fmt.Sprint(i)}))
			p.want(packet(t, &pb.VerifyACK{Result: pb.ResultCode_TokenInvalid, Reason: "this is no token of ours: log in again"}))
		}
	}
	if n := strings.Count(game.Log(), "token refused"); n == 0 || n > clients*tries/2 {
		t.Errorf("%d lines in the log for %d refusals", n, clients*tries)
	}
}

// A game that is started again has its players back with their next message.
func TestPlayersComeBack(t *testing.T) {
	c, game, signer := start(t)
	p := dial(t, c)
	p.write(packet(t, &pb.VerifyREQ{GameToken: sign(t, signer, "game#0@dev", time.Now())}))
	p.want(golden(t, "02 00 78 9f"))
	if err := game.Stop(); err != nil {
		t.Fatal(err)
	}
	p.write(packet(t, &pb.EchoREQ{Content: []byte("hi")}))
	game = c.Launch("game").WaitReady()
	p.want(golden(t, "06 00 e2 77 0a 02 68 69"))
	if n := game.Metric(t, "game_players"); n != 1 {
		t.Errorf("%v players, want 1", n)
	}
}
