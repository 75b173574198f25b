package main

import (
	"encoding/json"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/davyxu/cellmesh_demo/svc/hub/board"
	"github.com/davyxu/cellmesh_demo/tool/cluster"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// show runs the tool and returns what it prints.
func show(c *cluster.Cluster, args ...string) string {
	c.T.Helper()
	p := c.LaunchAs("status", New, append([]string{"-wait=20s", "-loglevel=error"}, args...)...)
	if err := p.Wait(); err != nil {
		c.T.Error(err)
	}
	return p.Log()
}

// The table has every service, live; the hub's page shows the same.
func TestStatus(t *testing.T) {
	c := cluster.New(t)
	hub := c.Launch("hub")
	for _, p := range []*cluster.Process{hub, c.Launch("hub"), c.Launch("game"), c.Launch("agent"), c.Launch("social")} {
		p.WaitReady()
	}
	var rows []board.Row
	byID := map[string]board.Row{}
	cluster.Eventually(t, "all are live, and linked", func() bool {
		if err := json.Unmarshal([]byte(show(c, "-json")), &rows); err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			if !r.Said || r.Stale || r.State != "ready" {
				return false
			}
			byID[r.Service] = r
		}
		return len(byID["agent#0@dev"].Links) == 4
	})
	if len(rows) != 5 || rows[0].Service != "agent#0@dev" || rows[4].Service != "social#0@dev" {
		t.Errorf("rows %+v", rows)
	}
	agent := byID["agent#0@dev"]
	if got := strings.Join(agent.Links, " "); got != "game#0@dev hub#0@dev hub#1@dev social#0@dev" {
		t.Errorf("links of agent: %s", got)
	}
	if agent.Clients != c.Addr("agent#0@dev") || agent.Version == "" || agent.UptimeMs <= 0 || agent.HTTP == "" {
		t.Errorf("agent: %+v", agent)
	}
	text := show(c)
	if lines := strings.Split(strings.TrimSpace(text), "\n"); len(lines) != 6 || !strings.HasPrefix(lines[0], "SERVICE") || strings.Contains(text, "\x1b") {
		t.Errorf("table:\n%s", text)
	}
	if page := hub.Page(t, "/status"); !strings.HasPrefix(page, "SERVICE") || !strings.Contains(page, "social#0@dev") {
		t.Errorf("page:\n%s", page)
	}
	if err := json.Unmarshal([]byte(hub.Page(t, "/status?json")), &rows); err != nil || len(rows) < 5 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
}

// Without a hub there is what discovery knows, and a word about why.
func TestStatusWithoutHub(t *testing.T) {
	c := cluster.New(t)
	c.Launch("game").WaitReady()
	out := show(c, "-wait=50ms")
	if !strings.Contains(out, "only what discovery knows") || !strings.Contains(out, "go run ./svc/hub") || !strings.Contains(out, "game#0@dev  ready") || !strings.Contains(out, "silent") {
		t.Errorf("got\n%s", out)
	}
}
