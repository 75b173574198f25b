package world_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/game/growth"
	"github.com/davyxu/cellmesh_demo/svc/game/store"
	"github.com/davyxu/cellmesh_demo/svc/game/world"
	"github.com/davyxu/cellmesh_demo/tool/cluster"
	"github.com/davyxu/cellmesh_demo/util/sqldb"
)

// read reads one packet into m, whose ID it must have.
func (c *client) read(m pb.Message) {
	c.t.Helper()
	var head [4]byte
	if _, err := io.ReadFull(c.conn, head[:]); err != nil {
		c.t.Fatal(err)
	}
	body := make([]byte, binary.LittleEndian.Uint16(head[:])-2)
	if _, err := io.ReadFull(c.conn, body); err != nil {
		c.t.Fatal(err)
	}
	if id := binary.LittleEndian.Uint16(head[2:]); id != m.MsgID() {
		c.t.Fatalf("got message %s (% x), want %s", pb.MessageName(id), body, pb.MessageName(m.MsgID()))
	}
	if err := proto.Unmarshal(body, m); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) ask(req, ack pb.Message) {
	c.t.Helper()
	c.write(packet(c.t, req))
	c.read(ack)
}

func (c *client) wantAnswer(req, got, want pb.Message) {
	c.t.Helper()
	if c.ask(req, got); !proto.Equal(got, want) {
		c.t.Errorf("%v is answered with %v, want %v", req, got, want)
	}
}

// join is a verified client.
func join(t *testing.T, c *cluster.Cluster, tokens *cluster.Tokens, uid, game string) *client {
	t.Helper()
	p := dial(t, c)
	p.write(packet(t, &pb.VerifyREQ{GameToken: tokens.New(uid, game), GameSvcId: game, Features: uint32(pb.VerifyREQ_Reject)}))
	var ack pb.VerifyACK
	if p.read(&ack); ack.Result != pb.ResultCode_NoError {
		t.Fatal(&ack)
	}
	return p
}

const cheap = `{"start":1000000,"prices":[10,20,30,40,50,60,70,80,2000000],"income":[0,0,0,0,0,0,0,0,0,0]}`

// startCheap is start with levels that do not cost much.
func startCheap(t *testing.T) (*cluster.Cluster, *cluster.Process, *cluster.Tokens) {
	c := cluster.New(t)
	c.Set("config/game/growth", cheap)
	tokens := c.NewTokens()
	game := c.Launch("game").WaitReady()
	c.Launch("agent", "-hold=1m").WaitReady()
	return c, game, tokens
}

// A player grows over the wire, and is the same after a new login; a request that
// comes again, there too, is answered as the first time.
func TestGrow(t *testing.T) {
	c, _, tokens := startCheap(t)
	p := join(t, c, tokens, "alice", self)
	p.wantAnswer(&pb.PlayerREQ{}, &pb.PlayerACK{}, &pb.PlayerACK{Uid: "alice", Name: "alice", Level: 1, Money: 1_000_000, Revision: 1, NextPrice: 10})
	first := &pb.UpgradeACK{RequestId: "u1", Level: 2, Money: 999_990, Paid: 10, Revision: 2}
	p.wantAnswer(&pb.UpgradeREQ{RequestId: "u1"}, &pb.UpgradeACK{}, first)
	p.wantAnswer(&pb.RenameREQ{RequestId: "n1", Name: "Al"}, &pb.RenameACK{}, &pb.RenameACK{RequestId: "n1", Name: "Al", Revision: 3})
	nothing := &pb.ClaimACK{RequestId: "c1", Result: pb.ResultCode_NothingToClaim, Reason: "nothing was earned yet: your level earns 0 gold an hour"}
	p.wantAnswer(&pb.ClaimREQ{RequestId: "c1"}, &pb.ClaimACK{}, nothing)

	q := join(t, c, tokens, "alice", self)
	q.wantAnswer(&pb.UpgradeREQ{RequestId: "u1"}, &pb.UpgradeACK{}, first)
	q.wantAnswer(&pb.ClaimREQ{RequestId: "c1"}, &pb.ClaimACK{}, nothing)
	q.wantAnswer(&pb.UpgradeREQ{RequestId: "n1"}, &pb.UpgradeACK{}, &pb.UpgradeACK{
		RequestId: "n1", Result: pb.ResultCode_RequestIDRefused, Reason: `bad request ID: "n1" was used already, for what was renamed`})
	q.wantAnswer(&pb.UpgradeREQ{}, &pb.UpgradeACK{}, &pb.UpgradeACK{
		Result: pb.ResultCode_RequestIDRefused, Reason: "bad request ID: it has 1 to 64 bytes"})
	q.wantAnswer(&pb.RenameREQ{RequestId: "n2", Name: " "}, &pb.RenameACK{}, &pb.RenameACK{
		RequestId: "n2", Result: pb.ResultCode_NameRefused, Reason: "a name is not empty, and neither begins nor ends with a space"})
	for i := range 7 {
		q.ask(&pb.UpgradeREQ{RequestId: fmt.Sprint("more", i)}, &pb.UpgradeACK{})
	}
	q.wantAnswer(&pb.UpgradeREQ{RequestId: "dear"}, &pb.UpgradeACK{}, &pb.UpgradeACK{
		RequestId: "dear", Result: pb.ResultCode_NotEnoughMoney, Reason: "needs 2000000 gold, you have 999640"})
	c.Set("config/game/growth", strings.Replace(cheap, "2000000", "640", 1)) // live, without a restart
	for i := 0; ; i++ {
		var ack pb.UpgradeACK
		if q.ask(&pb.UpgradeREQ{RequestId: fmt.Sprint("now", i)}, &ack); ack.Result == pb.ResultCode_NoError {
			if ack.Level != 10 || ack.Money != 999_000 {
				t.Error(&ack)
			}
			break
		}
		time.Sleep(60 * time.Millisecond) // as its rate allows
	}
	q.wantAnswer(&pb.UpgradeREQ{RequestId: "top"}, &pb.UpgradeACK{}, &pb.UpgradeACK{
		RequestId: "top", Result: pb.ResultCode_HighestLevel, Reason: "level 10 is the highest"})
}

// A player whose data was dropped from memory is loaded when it is needed.
func TestIdlePlayersAreUnloaded(t *testing.T) {
	c := cluster.New(t)
	tokens := c.NewTokens()
	game := c.Launch("game", "-playeridle=1ms").WaitReady()
	c.Launch("agent").WaitReady()
	p := join(t, c, tokens, "alice", self)
	for i := range 3 {
		cluster.Eventually(t, "the player is unloaded", func() bool { return game.Metric(t, "game_players_loaded") == 0 })
		p.wantAnswer(&pb.RenameREQ{RequestId: fmt.Sprint(i), Name: "Al"}, &pb.RenameACK{}, &pb.RenameACK{RequestId: fmt.Sprint(i), Name: "Al", Revision: int64(i + 2)})
	}
	if n := game.Metric(t, "game_players"); n != 1 {
		t.Errorf("%v players", n)
	}
}

// rows changes the rows of players.
func rows(t *testing.T, c *cluster.Cluster, query string, args ...any) {
	t.Helper()
	db, err := sqldb.Open(c.Database, sqldb.Options{}, store.Tables())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	err = db.Write(t.Context(), func(ctx context.Context, tx sqldb.Tx) error {
		_, err := tx.ExecContext(ctx, query, args...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Who has data that cannot be read is told so, and the operator the uid and why;
// others do not notice.
func TestBrokenRow(t *testing.T) {
	c, game, tokens := startCheap(t)
	join(t, c, tokens, "alice", self).conn.Close()
	join(t, c, tokens, "bob", self)
	rows(t, c, `UPDATE players SET data = '{"v":1}' WHERE uid = 'alice'`)
	p := dial(t, c)
	p.verify(tokens.New("alice", self), pb.ResultCode_PlayerBroken, "the data of player alice cannot be read: ask support")
	cluster.Eventually(t, "the operator is told", func() bool {
		return strings.Contains(game.Log(), "uid=alice") && strings.Contains(game.Log(), "level is missing")
	})
	rows(t, c, `UPDATE players SET data = '{"v":1,"name":"A","level":3,"money":7,"since":1,"pets":["cat"]}' WHERE uid = 'alice'`)
	p.verify(tokens.New("alice", self), pb.ResultCode_NoError, "")
	p.wantAnswer(&pb.RenameREQ{RequestId: "x", Name: "B"}, &pb.RenameACK{}, &pb.RenameACK{RequestId: "x", Name: "B", Revision: 2})
	db := open(t, c)
	data := ""
	err := db.Read(t.Context(), func(ctx context.Context, tx sqldb.Tx) error {
		return tx.QueryRowContext(ctx, "SELECT data FROM players WHERE uid = 'alice'").Scan(&data)
	})
	if err != nil || !strings.Contains(data, `"pets":["cat"]`) {
		t.Errorf("the row is %s, %v", data, err)
	}
}

func open(t *testing.T, c *cluster.Cluster) *sqldb.DB {
	t.Helper()
	db, err := sqldb.Open(c.Database, sqldb.Options{}, store.Tables())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := db.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db
}

// A game that shall not keep everything forgets what is old, and a player grows on.
func TestLedgerIsTrimmed(t *testing.T) {
	c := cluster.New(t)
	c.Set("config/game/growth", cheap)
	tokens := c.NewTokens()
	s := store.NewSQL(open(t, c))
	old, prices := time.Now().Add(-25*time.Hour), growth.Defaults()
	h := store.Hold(s, store.Owner{UID: "alice", Epoch: 0, Load: "old"})
	for _, name := range []string{"A", "B", "C"} {
		_, err := h.Change(t.Context(), name, "renamed", old, prices.New("alice", old), func(p growth.Player) (growth.Player, error) { return growth.Rename(p, name) })
		if err != nil {
			t.Fatal(err)
		}
	}
	bad := c.Launch("game", "-ledgerkeep=1h")
	if err := bad.Wait(); err == nil || !strings.Contains(err.Error(), "-ledgerkeep=1h0m0s: at least 24h0m0s") {
		t.Errorf("an hour: %v", err)
	}
	game := c.Launch("game", "-svcindex=0", "-ledgerkeep=24h").WaitReady()
	c.Launch("agent").WaitReady()
	cluster.Eventually(t, "what is old is forgotten", func() bool { return game.Metric(t, "game_ledger_trimmed_total") == 3 })
	p := join(t, c, tokens, "alice", self)
	p.wantAnswer(&pb.RenameREQ{RequestId: "C", Name: "X"}, &pb.RenameACK{}, &pb.RenameACK{RequestId: "C", Name: "C", Revision: 4}) // the newest is kept
	p.wantAnswer(&pb.RenameREQ{RequestId: "D", Name: "D"}, &pb.RenameACK{}, &pb.RenameACK{RequestId: "D", Name: "D", Revision: 5})
	_, all, err := s.Look(t.Context(), "alice", 10)
	if err != nil || len(all) != 2 || all[1].After != all[0].Before {
		t.Errorf("%+v, %v", all, err)
	}
}

// Two games have the player. The one that loaded it before is refused by the
// database, its client is told, and nothing of it is counted.
func TestTwoGames(t *testing.T) {
	c, _, tokens := startCheap(t)
	p := join(t, c, tokens, "alice", self)
	p.ask(&pb.UpgradeREQ{RequestId: "1"}, &pb.UpgradeACK{})
	other := store.NewSQL(open(t, c)) // as the game that the agent moves a player to
	o := store.Owner{UID: "alice", Epoch: 1, Load: "other"}
	is, err := other.Load(t.Context(), o, growth.Player{}, time.Now())
	if err != nil || is.Level != 2 {
		t.Fatal(is, err)
	}
	for i := range 3 {
		id := fmt.Sprint("late", i)
		p.wantAnswer(&pb.UpgradeREQ{RequestId: id}, &pb.UpgradeACK{}, &pb.UpgradeACK{
			RequestId: id, Result: pb.ResultCode_PlayedElsewhere, Reason: "another game has the player by now: send it again"})
	}
	if is, all, err := other.Look(t.Context(), "alice", 10); err != nil || is.Level != 2 || len(all) != 2 {
		t.Error(is, all, err)
	}
	q := join(t, c, tokens, "alice", self) // and a new login takes it back
	q.wantAnswer(&pb.UpgradeREQ{RequestId: "late0"}, &pb.UpgradeACK{}, &pb.UpgradeACK{RequestId: "late0", Level: 3, Money: 999_970, Paid: 20, Revision: 3})
	if _, err := other.Reload(t.Context(), o); !errors.Is(err, store.ErrNotOwner) {
		t.Error(err)
	}
}

// A handler that panics costs its own player one request; the panic is counted
// and logged with the stack, and the player is loaded again.
func TestPanic(t *testing.T) {
	c := cluster.New(t)
	c.Set("config/game/growth", cheap)
	tokens := c.NewTokens()
	game := c.LaunchAs("game", world.NewBuggy).WaitReady()
	c.Launch("agent").WaitReady()
	p, other := join(t, c, tokens, "alice", self), join(t, c, tokens, "bob", self)
	p.ask(&pb.UpgradeREQ{RequestId: "1"}, &pb.UpgradeACK{})
	if n := game.Metric(t, "game_players_loaded"); n != 2 {
		t.Errorf("%v players in memory", n)
	}
	for i, bug := range []string{"bug", "later"} {
		if p.write(packet(t, &pb.EchoREQ{Content: []byte(bug)})); bug == "bug" {
			p.wantAnswer(&pb.EchoREQ{}, &pb.RejectACK{}, &pb.RejectACK{
				MsgId: uint32(pb.EchoREQID), Code: pb.ResultCode_InternalError, Reason: "the server failed on this message"})
		} else {
			p.write(packet(t, &pb.EchoREQ{}))
		}
		p.read(&pb.EchoACK{})
		cluster.Eventually(t, "the panic is counted", func() bool { return game.Metric(t, "backend_messages_panicked_total") == float64(i+1) })
		if n := game.Metric(t, "game_players_loaded"); n != 1 {
			t.Errorf("%v players in memory", n)
		}
		cluster.Eventually(t, "the panic is in the log with its stack", func() bool {
			log := game.Log()
			return strings.Contains(log, "panicked: "+[]string{"a bug", "a later bug"}[i]) && strings.Contains(log, "export_test.go")
		})
		id, level := fmt.Sprint("after ", bug), int64(i+3)
		p.wantAnswer(&pb.UpgradeREQ{RequestId: id}, &pb.UpgradeACK{}, &pb.UpgradeACK{
			RequestId: id, Level: level, Money: 1_000_000 - 5*level*(level-1), Paid: 10 * (level - 1), Revision: level})
	}
	other.ask(&pb.EchoREQ{Content: []byte("fine")}, &pb.EchoACK{})
}

// A game with 1,000 players online stops within 5 seconds, in the middle of their
// requests.
func TestStopWithManyPlayers(t *testing.T) {
	c, game, tokens := startCheap(t)
	const n = 1000
	began := time.Now()
	var all [n]*client
	var wg sync.WaitGroup
	for w := range 50 {
		wg.Go(func() {
			for i := w; i < n; i += 50 {
				all[i] = join(t, c, tokens, fmt.Sprint("p", i), self)
			}
		})
	}
	if wg.Wait(); t.Failed() {
		return
	}
	t.Logf("%d players are in after %v", n, time.Since(began))
	if got := game.Metric(t, "game_players_loaded"); got != n {
		t.Errorf("%v players in memory", got)
	}
	for _, p := range all {
		p.write(packet(t, &pb.UpgradeREQ{RequestId: "last"}))
	}
	began = time.Now()
	if err := game.Stop(); err != nil {
		t.Error(err)
	}
	took := time.Since(began)
	t.Logf("stopped within %v", took)
	if took > 5*time.Second {
		t.Errorf("the stop took %v", took)
	}
}
