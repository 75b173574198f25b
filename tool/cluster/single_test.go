package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/client/clientapi"
)

// pair is a cluster of two agents and two games.
type pair struct {
	*Cluster
	tokens        *Tokens
	agents, games []*Process
}

func newPair(t *testing.T) *pair {
	p := &pair{Cluster: New(t)}
	p.LogLevel = "info"
	p.tokens = p.NewTokens()
	for i := range 2 {
		p.games = append(p.games, p.Launch("game", fmt.Sprint("-svcindex=", i)))
		p.agents = append(p.agents, p.Launch("agent", fmt.Sprint("-svcindex=", i), "-verifytimeout=1m"))
	}
	for i := range 2 {
		p.games[i].WaitReady()
		p.agents[i].WaitReady()
	}
	Eventually(t, "every agent is linked to every game", func() bool {
		return len(p.agents[0].App.Links.Named("game")) == 2 && len(p.agents[1].App.Links.Named("game")) == 2
	})
	return p
}

// enter logs in through agent i, verifies with game j, and tells the epoch. The
// error is a *clientapi.Refused if the game, or the agent, said no.
func (p *pair) enter(uid string, i, j int) (*clientapi.Conn, *inbox, uint64, error) {
	game := fmt.Sprintf("game#%d@dev", j)
	epoch, id, err := p.tokens.Sessions.Raise(context.Background(), uid)
	if err != nil {
		return nil, nil, 0, err
	}
	g := p.tokens.grant(uid, game, epoch, id)
	token, err := p.tokens.Sign(g, time.Now())
	if err != nil {
		return nil, nil, epoch, err
	}
	box := &inbox{}
	cfg := &clientapi.Config{CommType: "tcp", UID: uid, Features: uint32(pb.VerifyREQ_Reject), Timeout: startTimeout}
	conn, err := clientapi.Connect(context.Background(), clientapi.Grant{Agent: p.Addr(fmt.Sprintf("agent#%d@dev", i)), Token: token, GameID: game}, cfg, box)
	return conn, box, epoch, err
}

// outcome is what has become of one login.
type outcome struct {
	conn  *clientapi.Conn
	box   *inbox
	epoch uint64
	err   error
}

// race lets the uid log in through both agents to both games at once, and says
// what is wrong unless exactly the newest login has a session in the end.
func (p *pair) race(t *testing.T, uid string) {
	all := make([]outcome, 2)
	var both sync.WaitGroup
	for i := range all {
		both.Go(func() {
			time.Sleep(rand.N(3 * time.Millisecond)) // so that they meet at all stages
			o := &all[i]
			o.conn, o.box, o.epoch, o.err = p.enter(uid, i, i)
		})
	}
	both.Wait()
	newest, older := all[0], all[1]
	if newest.epoch < older.epoch {
		newest, older = older, newest
	}
	if newest.epoch == older.epoch {
		t.Errorf("%s: two logins of epoch %d", uid, newest.epoch)
	}
	if newest.err != nil {
		t.Errorf("%s: the newest login is not in: %v", uid, newest.err)
		return
	}
	defer newest.conn.Close()
	var no *clientapi.Refused
	switch {
	case older.err == nil: // it was in
		select {
		case <-older.conn.Done():
		case <-time.After(startTimeout):
			t.Errorf("%s: the older login stays in", uid)
			older.conn.Close()
		}
		if !older.box.has("reject  LoggedInElsewhere") {
			t.Errorf("%s: the older login was told %q", uid, older.box.all())
		}
	case !errors.As(older.err, &no) || no.Code != pb.ResultCode_LoggedInElsewhere:
		t.Errorf("%s: the older login: %v", uid, older.err)
	}
	if err := newest.conn.Send(&pb.EchoREQ{Content: []byte("in")}); err != nil {
		t.Errorf("%s: %v", uid, err)
	}
	deadline := time.Now().Add(startTimeout)
	for !newest.box.has("echo in") {
		select {
		case <-newest.conn.Done():
			t.Errorf("%s: the newest login was ended, told %q", uid, newest.box.all())
			return
		case <-time.After(time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Errorf("%s: no echo", uid)
			return
		}
	}
}

// races has many rounds, of some uids at once.
func (p *pair) races(t *testing.T, rounds int) {
	const uids = 8
	var wg sync.WaitGroup
	for i := range uids {
		wg.Go(func() {
			for range rounds / uids {
				p.race(t, fmt.Sprint("racer", i))
			}
		})
	}
	wg.Wait()
	for i := range 2 {
		Eventually(t, "nobody is left", func() bool {
			return p.agents[i].Metric(t, "agent_users") == 0 && p.games[i].Metric(t, "game_players") == 0
		})
	}
}

// Two logins that race end with exactly one session, that of the newest.
func TestRacingLogins(t *testing.T) {
	newPair(t).races(t, 400)
}

// So they do when the links that carry the news are cut all the while: what a
// link has lost is told when it is back.
func TestRacingLoginsWithCutLinks(t *testing.T) {
	p := newPair(t)
	cut := errors.New("cut by the test")
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var cuts atomic.Int64
	wg.Go(func() {
		for ctx.Err() == nil {
			for i := range 2 { // the news about agent 0's clients comes from game 1
				if l := p.agents[i].App.Links.Get(fmt.Sprintf("game#%d@dev", 1-i)); l != nil {
					l.Close(cut)
					cuts.Add(1)
				}
			}
			time.Sleep(rand.N(20 * time.Millisecond))
		}
	})
	p.races(t, 160)
	for cuts.Load() < 10 && !t.Failed() { // on a fast machine
		p.races(t, 16)
	}
	cancel()
	wg.Wait()
	t.Logf("%d links were cut", cuts.Load())
}
