//go:build unix

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/davyxu/cellmesh_demo/util/certfile/certtest"
)

// A cluster that proves a secret, which lies in a file, and talks to memsd with
// TLS: by environment alone, every program with the same. memsd gets another
// certificate while it runs, and dies; who has neither secret nor certificate is
// left out.
func TestSecretAndTLS(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	cert, key := certtest.Files(t, t.TempDir(), 1)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("correct horse\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.env = []string{"CELLMESH_SECRET=@" + secret, "CELLMESH_SDCA=" + cert, "CELLMESH_SDCERT=" + cert, "CELLMESH_SDKEY=" + key}
	all := s.up()
	before := s.services()
	alice := s.client("alice")
	alice.chats()
	for name, env := range map[string][]string{"-secret": s.env[1:], "-sdca": s.env[:1]} {
		stranger := &site{t: t, dir: s.dir, sdaddr: s.sdaddr, env: env}
		ask := exec.Command(filepath.Join(bin(), "memsd"), "-sdaddr="+s.sdaddr, "-cmd=viewsvc")
		ask.Env = append(os.Environ(), env...)
		if p := start(t, "memsd -cmd", ask); p.wait() != 1 || !hasAll(p.stderr.text(), []string{name}) {
			t.Errorf("memsd -cmd without %s: %s", name, p.stderr.text())
		}
		if p := stranger.run("routegen"); p.wait() != 1 || !hasAll(p.stderr.text(), []string{name}) {
			t.Errorf("routegen without %s: %s", name, p.stderr.text())
		}
	}
	certtest.Files(t, filepath.Dir(cert), 2)
	bob := s.client("bob")
	bob.chats(alice)
	all["memsd"].kill()
	alice.chats(bob)
	s.run("memsd").ready()
	eventually(t, "all services are registered again", func() bool { return len(s.services()) == len(before) })
	carol := s.client("carol")
	carol.chats(alice, bob)
	for _, p := range []*process{alice, bob, carol} {
		p.leaves()
	}
}
