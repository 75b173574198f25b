package world_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
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
	conn.SetDeadline(time.Now().Add(2 * time.Minute)) // for all that a test does
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

// start runs a game and an agent, and makes tokens that the game takes.
func start(t *testing.T) (*cluster.Cluster, *cluster.Process, *cluster.Tokens) {
	t.Helper()
	c := cluster.New(t)
	tokens := c.NewTokens()
	game := c.Launch("game").WaitReady()
	c.Launch("agent", "-hold=1m").WaitReady() // however long a game takes to come back
	return c, game, tokens
}

const self = "game#0@dev"

// Who shows a good token is in; who does not is told why, and may try again. An
// old client is told in the words it knows.
func TestVerify(t *testing.T) {
	c, game, tokens := start(t)
	p := dial(t, c)
	p.write(golden(t, "16 00 91 34 0a 06 76 65 72 69 66 79 12 0a 67 61 6d 65 23 30 40 64 65 76"))
	p.want(packet(t, &pb.VerifyACK{Result: pb.ResultCode_TokenInvalid, Reason: "this is no token of ours: log in again"}))
	good := tokens.New("1234", self)
	p.write(packet(t, &pb.VerifyREQ{GameToken: good, GameSvcId: self}))
	p.want(golden(t, "02 00 78 9f"))
	p.verify(good, pb.ResultCode_AlreadyVerified, "this connection is 1234 already")

	p.write(packet(t, &pb.EchoREQ{Content: []byte("hi")}))
	p.want(golden(t, "06 00 e2 77 0a 02 68 69"))
	players := func() float64 { return game.Metric(t, "game_players") }
	if n := players(); n != 1 {
		t.Errorf("%v players, want 1", n)
	}
	p.conn.Close()
	cluster.Eventually(t, "the player has left", func() bool { return players() == 0 })
}

// verify shows a token, and must be answered like this.
func (c *client) verify(token string, code pb.ResultCode, reason string) {
	c.t.Helper()
	c.write(packet(c.t, &pb.VerifyREQ{GameToken: token, GameSvcId: self}))
	c.want(packet(c.t, &pb.VerifyACK{Result: code, Reason: reason}))
}

// Each token that is wrong is refused with its code, on a connection that is
// let in afterwards all the same.
func TestRefusedTokens(t *testing.T) {
	c, _, tokens := start(t)
	c.Launch("game", "-svcindex=1").WaitReady()
	stranger, err := loginapi.NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	sign := func(s *loginapi.Signer, g loginapi.Grant, then time.Time) string {
		t.Helper()
		token, err := s.Sign(g, then)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	at := func(then time.Time) string {
		g := tokens.Grant("clock", self)
		g.Expires = then.Add(5 * time.Minute)
		return sign(tokens.Signer, g, then)
	}
	good := tokens.New("victim", self)
	parts := strings.Split(good, ".")
	head := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	kid, public := publicKey(t, c)
	hs256 := head(fmt.Sprintf(`{"alg":"HS256","kid":%q}`, kid)) + "." + parts[1]
	mac := hmac.New(sha256.New, public)
	mac.Write([]byte(hs256))
	used := tokens.New("used", self)
	p := dial(t, c)
	p.verify(used, pb.ResultCode_NoError, "")
	older := tokens.New("older", self)
	tokens.New("older", self)

	const invalid = "this is no token of ours: log in again"
	for name, x := range map[string]struct {
		token  string
		code   pb.ResultCode
		reason string
	}{
		"nothing":                   {"", pb.ResultCode_TokenInvalid, invalid},
		"alg none":                  {head(fmt.Sprintf(`{"alg":"none","kid":%q}`, kid)) + "." + parts[1] + ".", pb.ResultCode_TokenInvalid, invalid},
		"HS256 with the public key": {hs256 + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)), pb.ResultCode_TokenInvalid, invalid},
		"an unknown key":            {sign(stranger, tokens.Grant("x", self), now), pb.ResultCode_TokenInvalid, invalid},
		"another key's name":        {head(`{"alg":"EdDSA","kid":"other"}`) + "." + parts[1] + "." + parts[2], pb.ResultCode_TokenInvalid, invalid},
		"another uid in it":         {parts[0] + "." + head(fmt.Sprintf(`{"iss":"cellmesh","sub":"root","aud":[%q],"exp":%d,"jti":"x","epoch":1}`, self, now.Add(time.Minute).Unix())) + "." + parts[2], pb.ResultCode_TokenInvalid, invalid},
		"never counted":             {sign(tokens.Signer, loginapi.Grant{UID: "nobody", Epoch: 9, GameID: self, Expires: now.Add(time.Minute)}, now), pb.ResultCode_TokenInvalid, invalid},
		"expired":                   {at(now.Add(-time.Hour)), pb.ResultCode_TokenExpired, "the token has expired: log in again"},
		"not yet valid":             {at(now.Add(time.Hour)), pb.ResultCode_TokenNotYetValid, "the token is not valid yet: try again in a moment"},
		"for another game":          {tokens.New("elsewhere", "game#7@dev"), pb.ResultCode_GameNotFound, "the game that login chose is gone: log in again"},
		"used":                      {used, pb.ResultCode_TokenUsed, "the token was used already: log in again"},
		"of an older login":         {older, pb.ResultCode_LoggedInElsewhere, "you have logged in again since"},
	} {
		t.Run(name, func(t *testing.T) {
			p := dial(t, c)
			p.verify(x.token, x.code, x.reason)
			p.verify(tokens.New(name, self), pb.ResultCode_NoError, "")
		})
	}
	// A used token is no good at another game either, even if it were for that.
	other := tokens.Grant("two games", self)
	p = dial(t, c)
	p.verify(sign(tokens.Signer, other, now), pb.ResultCode_NoError, "")
	other.GameID = "game#1@dev"
	q := dial(t, c)
	q.write(packet(t, &pb.VerifyREQ{GameToken: sign(tokens.Signer, other, now), GameSvcId: "game#1@dev"}))
	q.want(packet(t, &pb.VerifyACK{Result: pb.ResultCode_TokenUsed, Reason: "the token was used already: log in again"}))
}

// publicKey is the key that lies in discovery.
func publicKey(t *testing.T, c *cluster.Cluster) (kid string, public []byte) {
	t.Helper()
	for name, text := range c.Registry.Snapshot().Values("login/key/") {
		var k struct{ Key []byte }
		if err := json.Unmarshal([]byte(text), &k); err != nil {
			t.Fatal(err)
		}
		return strings.TrimPrefix(name, "login/key/"), k.Key
	}
	t.Fatal("no key in discovery")
	return "", nil
}

// A database that does not answer keeps nobody from playing; who comes meanwhile
// waits for it, or is told to try again.
func TestDatabaseBlocked(t *testing.T) {
	c, game, tokens := start(t)
	in := dial(t, c)
	in.verify(tokens.New("in", self), pb.ResultCode_NoError, "")
	grows := join(t, c, tokens, "grows", self)
	waits, token := dial(t, c), tokens.New("waits", self)
	release := c.BlockDatabase()
	waits.write(packet(t, &pb.VerifyREQ{GameToken: token, GameSvcId: self}))
	grows.write(packet(t, &pb.UpgradeREQ{RequestId: "1"}))
	cluster.Eventually(t, "the token and a player wait for the database", func() bool { return game.Metric(t, "database_waiting") == 2 })
	slowest := time.Duration(0)
	for range 200 {
		began := time.Now()
		in.write(packet(t, &pb.EchoREQ{Content: []byte("hi")}))
		in.want(golden(t, "06 00 e2 77 0a 02 68 69"))
		slowest = max(slowest, time.Since(began))
	}
	t.Logf("an echo took %v at most", slowest)
	if n := game.Metric(t, "database_waiting"); n != 2 {
		t.Errorf("%v wait", n)
	}
	release()
	waits.want(golden(t, "02 00 78 9f"))
	grows.read(&pb.UpgradeACK{})
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
	c, game, tokens := start(t)
	p := dial(t, c)
	p.write(packet(t, &pb.VerifyREQ{GameToken: tokens.New("1234", self)}))
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
