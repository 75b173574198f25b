//go:build unix

package e2e

import (
	"strings"
	"testing"
)

// Every start order ends with a line of chat that comes back, and whoever came
// too early said once what it waited for and how to start it.
func TestStartOrder(t *testing.T) {
	const (
		noMemsd  = "waiting for memsd: go run ./svc/memsd"
		noRoutes = "memsd has no route rules: cd proto && sh ./MakeProto.sh"
		noAgent  = "no agent is running: go run ./svc/agent"
		noGame   = "no game is running: go run ./svc/game"
	)
	for _, test := range []struct {
		name  string
		order string            // a bar: those before it have said what is in says before it goes on
		says  map[string]string // by program; said before the next bar
	}{
		{"as in the README", "memsd routes hub login | agent | game social client",
			map[string]string{"login": noAgent, "agent": noGame}},
		{"client first, memsd last", "client social game agent login hub | memsd routes",
			map[string]string{"client": "waiting: no memsd at ", "social": noMemsd, "game": noMemsd, "agent": noMemsd, "login": noMemsd, "hub": noMemsd}},
		{"routes last", "memsd client login game agent social hub | routes",
			map[string]string{"client": "waiting: no login is ready", "agent": noRoutes}},
		{"game last", "memsd routes hub social agent login | client | game",
			map[string]string{"agent": noGame, "client": "waiting: no login is ready"}},
		{"backends first", "social game | memsd | routes agent hub login client",
			map[string]string{"social": noMemsd, "game": noMemsd}},
		{"hub last", "memsd routes game social agent login client | hub", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			var started []*process
			var client *process
			said := map[*process]string{}
			for step := range strings.FieldsSeq(test.order) {
				switch step {
				case "|":
					for _, p := range started {
						if text := test.says[p.name]; text != "" && said[p] == "" {
							p.says(text)
							said[p] = text
						}
					}
					continue
				case "routes":
					s.push()
					continue
				}
				p := s.run(step)
				started = append(started, p)
				if step == "client" {
					client = p
				}
				if step == "memsd" {
					p.ready()
				}
			}
			client.chats()
			client.leaves()
			for _, p := range started {
				if p != client {
					p.ready()
				}
			}
			for p, text := range said {
				if n := p.saidTimes(text); n != 1 {
					t.Errorf("%s has said %d times: %s", p.name, n, text)
				}
			}
			if len(said) != len(test.says) {
				t.Errorf("%d programs have said what they wait for, not %d", len(said), len(test.says))
			}
		})
	}
}
