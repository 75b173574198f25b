package desk_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/client/clientapi"
	"github.com/davyxu/cellmesh_demo/svc/login/choice"
	"github.com/davyxu/cellmesh_demo/tool/cluster"
)

// nobody hears what the server sends.
type nobody struct{}

func (nobody) Message(uint16, []byte) error { return nil }
func (nobody) Batch()                       {}

// enter logs count players in, by all logins in turn, many at a time, and
// leaves them there until the test ends. It returns how many each agent and
// game was given.
func enter(t *testing.T, c *cluster.Cluster, prefix, version string, count, logins int) map[string]int {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var mu sync.Mutex
	var conns []*clientapi.Conn
	t.Cleanup(func() {
		cancel()
		for _, conn := range conns {
			<-conn.Done()
		}
	})
	addrs := make([]string, logins)
	for i := range addrs {
		addrs[i] = c.Addr(fmt.Sprintf("login#%d@dev", i))
	}
	got := map[string]int{}
	next := make(chan int)
	var workers sync.WaitGroup
	for range 32 {
		workers.Go(func() {
			for i := range next {
				cfg := &clientapi.Config{CommType: "tcp", Version: version, Platform: "demo", UID: fmt.Sprint(prefix, i)}
				grant, err := clientapi.Login(ctx, addrs[i%logins], cfg)
				if err != nil {
					t.Error(err)
					continue
				}
				conn, err := clientapi.Connect(ctx, grant, cfg, nobody{})
				mu.Lock()
				if err != nil {
					t.Error(err)
				} else {
					conns = append(conns, conn)
				}
				got[grant.Agent]++
				got[grant.GameID]++
				mu.Unlock()
			}
		})
	}
	for i := range count {
		next <- i
	}
	close(next)
	workers.Wait()
	return got
}

// A thousand players who really log in and enter, by one login or two, spread
// over four agents and two games within a tenth; what they are spread by is what
// agents and games say through hub. A new game then gets more, but not all.
func TestSpread(t *testing.T) {
	for logins := 1; logins <= 2; logins++ {
		t.Run(fmt.Sprint(logins, " logins"), func(t *testing.T) {
			c := cluster.New(t)
			c.LogLevel = "info"
			var all []*cluster.Process
			for _, name := range []string{"hub", "game", "game", "agent", "agent", "agent", "agent"} {
				all = append(all, c.Launch(name))
			}
			for range logins {
				all = append(all, c.Launch("login"))
			}
			for _, p := range all {
				p.WaitReady()
			}
			got := enter(t, c, "a", "1.0", 1000, logins)
			for i := range 4 {
				if n := got[c.Addr(fmt.Sprintf("agent#%d@dev", i))]; n < 225 || n > 275 {
					t.Errorf("agent#%d got %d of 1000", i, n)
				}
			}
			for i := range 2 {
				if n := got[fmt.Sprintf("game#%d@dev", i)]; n < 450 || n > 550 {
					t.Errorf("game#%d got %d of 1000", i, n)
				}
			}
			c.Launch("game").WaitReady()
			for i := range logins {
				cluster.Eventually(t, "login knows of the new game", func() bool {
					grant, err := clientapi.Login(t.Context(), c.Addr(fmt.Sprintf("login#%d@dev", i)), &clientapi.Config{CommType: "tcp", Platform: "demo", UID: "x"})
					return err == nil && grant.GameID == "game#2@dev"
				})
			}
			got = enter(t, c, "b", "1.0", 300, logins)
			if n := got["game#2@dev"]; n < 85 || n > 240 { // an even share at least, though it may not have said yet that it is empty
				t.Errorf("the new game got %d of 300: %v", n, got)
			}
		})
	}
}

// With hub gone, and with none from the beginning, logins go on.
func TestWithoutHub(t *testing.T) {
	c := cluster.New(t)
	c.LogLevel = "info"
	var all []*cluster.Process
	for _, name := range []string{"game", "game", "agent", "agent", "login"} {
		all = append(all, c.Launch(name))
	}
	for _, p := range all {
		p.WaitReady()
	}
	spread := func(prefix string) {
		t.Helper()
		got := enter(t, c, prefix, "1.0", 100, 1)
		for _, svcid := range []string{"game#0@dev", "game#1@dev"} {
			if got[svcid] < 30 {
				t.Errorf("%s got %d of 100", svcid, got[svcid])
			}
		}
	}
	spread("alone")
	hub := c.Launch("hub").WaitReady()
	spread("hub")
	if err := hub.Stop(); err != nil {
		t.Error(err)
	}
	spread("gone")
}

// Clients of a new version go to agents and games of a group of their own.
func TestVersionGroup(t *testing.T) {
	c := cluster.Start(t)
	beta := []*cluster.Process{c.Launch("game", "-svcgroup=beta"), c.Launch("agent", "-svcgroup=beta", "-linkrule=hub:*|beta")}
	for _, p := range beta {
		p.WaitReady()
	}
	c.Set(choice.VersionsKey, `{"rules": [{"from": "2.0", "group": "beta"}, {"below": "1.0", "refuse": "too old"}]}`)
	login := c.Addr("login#0@dev")
	cluster.Eventually(t, "the rule is known", func() bool {
		_, err := clientapi.Login(t.Context(), login, &clientapi.Config{CommType: "tcp", Version: "0.9", Platform: "demo", UID: "x"})
		return err != nil
	})
	if got := enter(t, c, "new", "2.0", 5, 1); got["game#0@beta"] != 5 {
		t.Errorf("%v", got)
	}
	if got := enter(t, c, "old", "1.0", 5, 1); got["game#0@dev"] != 5 {
		t.Errorf("%v", got)
	}
	_, err := clientapi.Login(t.Context(), login, &clientapi.Config{CommType: "ws", Version: "0.9", Platform: "demo", UID: "x"})
	if want := fmt.Sprintf("login refused: too old (%v)", pb.ResultCode_VersionRefused); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}
