//go:build unix

package e2e

import (
	"context"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/client/clientapi"
	"github.com/davyxu/cellmesh_demo/svc/game/store"
	"github.com/davyxu/cellmesh_demo/util/sqldb"
)

// The game is killed with SIGKILL in the middle of 200 players that upgrade, and
// started again. They go on with the same connections. Every upgrade that was
// acknowledged is there, none twice, and each ledger adds up to what its player
// has.
func TestKillWhileUpgrading(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	all := s.up()
	s.cheapen(all["game"])

	const players = 200
	ctx, cancel := context.WithTimeout(t.Context(), 2*deadline) // which bounds each of what follows
	defer cancel()
	var acked, again atomic.Int64
	var enough atomic.Bool
	crowd := make([]*upgrader, players)
	var wg sync.WaitGroup
	for i := range crowd {
		u := &upgrader{uid: fmt.Sprint("p", i), acks: make(chan *pb.UpgradeACK, 16), done: map[string]*pb.UpgradeACK{}}
		crowd[i] = u
		wg.Go(func() {
			if err := u.enter(ctx, all["login"].field("clients")); err != nil {
				t.Error(err)
				return
			}
			defer u.conn.Close()
			for !enough.Load() {
				if err := u.upgrade(ctx, &again); err != nil {
					t.Errorf("%s: %v", u.uid, err)
					return
				}
				acked.Add(1)
			}
		})
	}
	until := func(n int64) {
		eventually(t, fmt.Sprint(n, " upgrades"), func() bool { return acked.Load() >= n || t.Failed() })
	}
	until(3 * players)
	all["game"].kill()
	before := acked.Load()
	all["game"] = s.run("game")
	all["game"].ready()
	until(before + 3*players)
	enough.Store(true)
	wg.Wait()
	t.Logf("%d upgrades before the kill, %d in all; %d requests were sent again", before, acked.Load(), again.Load())
	if again.Load() == 0 {
		t.Error("the kill has hit nobody's request")
	}
	all["game"].stop()

	db, err := sqldb.Open("sqlite:"+filepath.Join(s.dir, "cellmesh.db"), sqldb.Options{}, store.Tables())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, u := range crowd {
		u.check(t, store.NewSQL(db))
	}
}

// upgrader is a player that upgrades, and what was acknowledged.
type upgrader struct {
	uid  string
	conn *clientapi.Conn
	acks chan *pb.UpgradeACK
	done map[string]*pb.UpgradeACK
}

func (u *upgrader) enter(ctx context.Context, login string) error {
	cfg := &clientapi.Config{CommType: "tcp", Version: "1.0", Platform: "demo", UID: u.uid, Features: uint32(pb.VerifyREQ_Reject)}
	grant, err := clientapi.Login(ctx, login, cfg)
	if err == nil {
		u.conn, err = clientapi.Connect(ctx, grant, cfg, u)
	}
	return err
}

// Message takes answers. A RejectACK is like none: the request is sent again.
func (u *upgrader) Message(id uint16, body []byte) error {
	if id != pb.UpgradeACKID {
		return nil
	}
	var ack pb.UpgradeACK
	if err := proto.Unmarshal(body, &ack); err != nil {
		return err
	}
	select {
	case u.acks <- &ack:
	default: // so many answers to one request
	}
	return nil
}

func (u *upgrader) Batch() {}

// upgrade has one upgrade done, as often as it takes.
func (u *upgrader) upgrade(ctx context.Context, again *atomic.Int64) error {
	id := rand.Text()
	for first := true; ; first = false {
		if !first {
			again.Add(1)
		}
		if err := u.conn.Send(&pb.UpgradeREQ{RequestId: id}); err != nil {
			return err
		}
		timeout := time.After(500 * time.Millisecond)
		for answered := false; !answered; {
			select {
			case ack := <-u.acks:
				answered = ack.RequestId == id // else to one that was sent twice
				switch {
				case !answered:
				case ack.Result == pb.ResultCode_NoError:
					u.done[id] = ack
					return nil
				case ack.Result != pb.ResultCode_PlayedElsewhere && ack.Result != pb.ResultCode_ServerBusy:
					return fmt.Errorf("refused: %v", ack)
				}
			case <-timeout:
				answered = true
			case <-u.conn.Done():
				return u.conn.Err()
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

// check compares what was acknowledged with what is stored.
func (u *upgrader) check(t *testing.T, s store.Store) {
	t.Helper()
	p, changes, err := s.Look(t.Context(), u.uid, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]store.Entry{}
	money, last := int64(0), store.State{}
	for i := range changes {
		e := changes[len(changes)-1-i]
		if e.Revision != int64(i+1) || e.Before != last {
			t.Errorf("%s: change %d is %+v, after %+v", u.uid, i+1, e, last)
		}
		money, last = money+e.After.Money-e.Before.Money, e.After
		found[e.RequestID] = e
	}
	if p.Money != money || p.Money != 1_000_000-7*(p.Level-1) || p.Level != int64(len(changes)) || len(found) != len(changes) {
		t.Errorf("%s has %d gold at level %d; the ledger has %d changes, which come to %d", u.uid, p.Money, p.Level, len(changes), money)
	}
	if len(found) != len(u.done)+1 { // each was asked for until it was acknowledged
		t.Errorf("%s: %d upgrades acknowledged, %d changes", u.uid, len(u.done), len(found))
	}
	for id, ack := range u.done {
		if e := found[id]; e.Revision != ack.Revision || e.After.Level != ack.Level || e.After.Money != ack.Money {
			t.Errorf("%s: acknowledged was %v, stored is %+v", u.uid, ack, e)
		}
	}
}
