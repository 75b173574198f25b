//go:build unix

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// A second agent becomes agent#1 without a flag, and clients of the two hear
// each other, whatever they connect with.
func TestTwoAgents(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	first := s.up()["agent"]
	alice := s.client("alice", "-commtype=ws")
	alice.chats()

	second := s.run("agent")
	if id := second.ready(); id != "agent#1@dev" {
		t.Errorf("the second agent is %s", id)
	}
	for i := range 50 { // login draws lots: nobody is sure to get the empty one
		bob := s.client(fmt.Sprint("bob", i), "-commtype=tcp")
		bob.chats(alice)
		alice.chats(bob)
		var there string
		eventually(t, "two clients in all", func() bool { // the last bob may not have been missed yet
			there = metric(t, second.field("http"), "cellmesh_agent_clients")
			all := metric(t, first.field("http"), "cellmesh_agent_clients") + there
			return all == "11" || all == "20"
		})
		bob.leaves()
		if there == "1" {
			alice.leaves()
			return
		}
	}
	t.Error("nobody was sent to the second agent")
}

// metric is the value of a metric without labels.
func metric(t *testing.T, addr, name string) string {
	t.Helper()
	r, err := http.Get("http://" + addr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, is := strings.CutPrefix(line, name+" "); is {
			return strings.TrimSpace(value)
		}
	}
	t.Fatalf("%s has no metric %s", addr, name)
	return ""
}

// A client that is told where login is needs no memsd.
func TestClientWithoutMemsd(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	all := s.up()
	elsewhere := &site{t: t, dir: t.TempDir(), sdaddr: freeAddr(t)}
	for _, commType := range []string{"tcp", "ws"} {
		client := elsewhere.client("alice", "-login="+all["login"].field("clients"), "-commtype="+commType)
		client.chats()
		client.leaves()
	}
	all["memsd"].kill() // those that are up go on without it, and let new clients in
	client := elsewhere.client("bob", "-login="+all["login"].field("clients"))
	client.chats()
	client.leaves()
}

// A client that is refused or cut says so in one line and exits with 1.
func TestClientFails(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	all := s.up()
	for _, test := range []struct{ arg, says string }{
		{"-platform=nobody", "login refused: "},
		{"-commtype=pigeon", "pigeon"},
	} {
		p := s.client("alice", test.arg)
		if code, said := p.wait(), p.complains(); code != 1 || strings.Count(said, "\n") != 1 || !strings.Contains(said, test.says) {
			t.Errorf("%s: exit code %d, stderr %q", test.arg, code, said)
		}
	}
	p := s.client("alice")
	p.chats()
	all["agent"].kill()
	if code, said := p.wait(), p.complains(); code != 1 || strings.Count(said, "\n") != 1 || !strings.Contains(said, "connection lost") {
		t.Errorf("agent gone: exit code %d, stderr %q", code, said)
	}
}

// complains is what a client has written to standard error, but for what it
// waited for at first: on a busy machine that takes a second.
func (p *process) complains() string {
	return regexp.MustCompile(`(?m)^waiting: .*\n`).ReplaceAllString(p.stderr.text(), "")
}
