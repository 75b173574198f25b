//go:build unix

package e2e

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/davyxu/cellmesh_demo/util/discovery"
)

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
// indexes and epochs they had, within 3 s of its return, also when its data has
// gone.
func TestMemsdAway(t *testing.T) {
	for name, lost := range map[string]bool{"DataKept": false, "DataLost": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			all := s.up()
			before := s.services()
			alice := s.client("alice")
			alice.chats()
			all["memsd"].kill()
			alice.chats()
			bob := s.client("bob", "-login="+all["login"].field("clients"))
			bob.chats(alice)
			if lost {
				files, err := filepath.Glob(filepath.Join(s.dir, "*persist.json*"))
				if err != nil || len(files) < 2 {
					t.Fatal("memsd's files are not where they should be:", files, err)
				}
				for _, file := range files {
					if err := os.Remove(file); err != nil {
						t.Fatal(err)
					}
				}
			}
			s.run("memsd").ready()
			if took := s.returned(before); took > 3*time.Second {
				t.Errorf("all were registered again %v after memsd's return", took)
			}
			if got := s.memsd("-cmd=viewkey", "login/key/"); lost && !hasAll(got, []string{"login/key/"}) {
				eventually(t, "login has published its key again", func() bool {
					return hasAll(s.memsd("-cmd=viewkey", "login/key/"), []string{"login/key/"})
				})
			}
			carol := s.client("carol")
			carol.chats(alice, bob)
			for _, p := range []*process{alice, bob, carol} {
				p.leaves()
			}
		})
	}
}

// returned waits until all services are registered again and returns how long that
// took; without starting a program for each look, as services does.
func (s *site) returned(want map[string]uint64) time.Duration {
	s.t.Helper()
	began := time.Now()
	reg := discovery.Dial(s.t.Context(), s.sdaddr, discovery.Options{Name: "e2e"})
	defer reg.Close()
	eventually(s.t, "all services are registered again", func() bool {
		all := make(map[string]uint64)
		for svc := range reg.Snapshot().Services("") {
			all[svc.ID] = svc.Epoch
		}
		return maps.Equal(all, want)
	})
	return time.Since(began)
}

// services are the epochs that memsd shows, by ID.
func (s *site) services() map[string]uint64 {
	s.t.Helper()
	var list []struct {
		ID    string
		Epoch uint64
	}
	if err := json.Unmarshal([]byte(s.memsd("-json", "-cmd=viewsvc")), &list); err != nil {
		s.t.Fatal(err)
	}
	all := make(map[string]uint64)
	for _, svc := range list {
		all[svc.ID] = svc.Epoch
	}
	return all
}
