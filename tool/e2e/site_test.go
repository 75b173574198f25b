//go:build unix

package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// site is a cluster that a test starts by hand, one program after the other,
// in a folder and with a memsd port of its own.
type site struct {
	t      testing.TB
	dir    string
	sdaddr string
	env    []string // of everything that is started
}

func newSite(t testing.TB) *site {
	return &site{t: t, dir: t.TempDir(), sdaddr: freeAddr(t)}
}

// nextPort gives each test ports of its own.
var nextPort atomic.Int32

// freeAddr is an address on loopback that nobody listens on, with a port below
// those that systems give to whoever connects: it stays free while a test has
// nobody there.
func freeAddr(t testing.TB) string {
	t.Helper()
	first := 20000 + os.Getpid()%100*100 // so that two runs at a time do not meet
	for range 1000 {
		addr := fmt.Sprintf("127.0.0.1:%d", first+int(nextPort.Add(1)))
		l, err := net.Listen("tcp", addr)
		if err == nil {
			l.Close()
			return addr
		}
	}
	t.Fatal("no free port")
	return ""
}

// run starts a program by hand: only with where memsd is and, so that it cannot
// survive the test, a lifeline.
func (s *site) run(name string, args ...string) *process {
	s.t.Helper()
	args = append([]string{"-sdaddr=" + s.sdaddr}, args...)
	switch name {
	case "memsd":
		args = append([]string{"-addr=" + s.sdaddr, "-datafile=persist.json", "-lifeline"}, args[1:]...)
	case "client", "routegen":
	case "login":
		args = append([]string{"-platforms=demo", "-lifeline"}, args...)
	default:
		args = append(args, "-lifeline")
	}
	cmd := exec.Command(filepath.Join(bin(), name), args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), s.env...)
	return start(s.t, name, cmd)
}

// ready waits until a service has said that it is ready, and returns its ID.
func (p *process) ready() (svcid string) {
	p.t.Helper()
	if p.name == "memsd" {
		p.says("ready")
		return ""
	}
	return p.field("svc")
}

// field is the value of name=value in the line in which a service says that it
// is ready.
func (p *process) field(name string) string {
	p.t.Helper()
	line := p.says(" ready ", "svc=")
	for word := range strings.FieldsSeq(line) {
		if value, is := strings.CutPrefix(word, name+"="); is {
			return value
		}
	}
	p.t.Fatalf("%s says nothing about %s: %s", p.name, name, line)
	return ""
}

// push pushes the route rules.
func (s *site) push() {
	s.t.Helper()
	if p := s.run("routegen", "-timeout="+deadline.String()); p.wait() != 0 {
		s.t.Fatalf("routegen: %s", p.stderr.text())
	}
}

// memsd asks memsd something.
func (s *site) memsd(args ...string) string {
	s.t.Helper()
	return askMemsd(s.t, s.sdaddr, args, s.env...)
}

func askMemsd(t testing.TB, sdaddr string, args []string, env ...string) string {
	t.Helper()
	cmd := exec.Command(filepath.Join(bin(), "memsd"), append([]string{"-sdaddr=" + sdaddr}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	p := start(t, "memsd "+strings.Join(args, " "), cmd)
	if p.wait() != 0 {
		t.Fatalf("memsd %v: %s", args, p.stderr.text())
	}
	return p.stdout.text()
}

// up starts everything that a client needs, and returns it by name.
func (s *site) up() map[string]*process {
	s.t.Helper()
	all := map[string]*process{"memsd": s.run("memsd")}
	all["memsd"].ready()
	s.push()
	for _, name := range []string{"hub", "login", "agent", "game", "social"} {
		all[name] = s.run(name)
	}
	for _, p := range all {
		p.ready()
	}
	return all
}

// client starts a client.
func (s *site) client(uid string, args ...string) *process {
	s.t.Helper()
	p := s.run("client", append([]string{"-uid=" + uid}, args...)...)
	p.name = uid
	return p
}

// lineNumber makes every line that is typed another.
var lineNumber atomic.Int32

// chats types a line and waits until everybody who hears has it.
func (p *process) chats(hearers ...*process) {
	p.t.Helper()
	line := fmt.Sprintf("%s says %d", p.name, lineNumber.Add(1))
	p.enter(line)
	for _, h := range append(hearers, p) {
		h.prints(line)
	}
}

// leaves ends a client's input; it has to end well.
func (p *process) leaves() {
	p.t.Helper()
	p.stdin.Close()
	if code := p.wait(); code != 0 {
		p.t.Fatalf("%s ended with exit code %d: %s", p.name, code, p.stderr.text())
	}
}

// cheapen sets prices so low that players can upgrade 1,000 times, which a game
// follows.
func (s *site) cheapen(game *process) {
	s.t.Helper()
	price := strings.TrimSuffix(strings.Repeat("7,", 1000), ",")
	s.memsd("-cmd=setvalue", "config/game/growth", fmt.Sprintf(`{"start":1000000,"prices":[%s],"income":[0,%s]}`, price, price))
	game.says("config changed")
}
