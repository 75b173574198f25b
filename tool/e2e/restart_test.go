//go:build unix

package e2e

import "testing"

// Each program is killed with SIGKILL and started again. Afterwards new clients
// get in, and those that were connected chat on, but for those of a killed
// agent.
func TestKillAndRestart(t *testing.T) {
	for _, name := range []string{"memsd", "hub", "login", "agent", "game", "social"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			all := s.up()
			alice := s.client("alice")
			alice.chats()

			all[name].kill()
			all[name] = s.run(name)
			all[name].ready()

			if name == "agent" {
				if code := alice.wait(); code != 1 {
					t.Errorf("alice's client ended with exit code %d: %s", code, alice.stderr.text())
				}
				alice = s.client("alice")
			}
			alice.chats()
			bob := s.client("bob")
			bob.chats(alice)
			alice.chats(bob)
			bob.leaves()
			alice.leaves()
		})
	}
}

// The programs go on without memsd, and are all registered again, with the
// indexes they had, when it is back.
func TestMemsdAway(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	all := s.up()
	alice := s.client("alice")
	alice.chats()
	all["memsd"].kill()
	alice.chats()
	bob := s.client("bob", "-login="+all["login"].field("clients"))
	bob.chats(alice)
	s.run("memsd").ready()
	eventually(t, "all services are registered again", func() bool {
		shown := s.memsd("-cmd=viewsvc")
		for _, name := range []string{"hub", "login", "agent", "game", "social"} {
			if !hasAll(shown, []string{name + "#0@dev"}) {
				return false
			}
		}
		return true
	})
	carol := s.client("carol")
	carol.chats(alice, bob)
	for _, p := range []*process{alice, bob, carol} {
		p.leaves()
	}
}
