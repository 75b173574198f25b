package console

import (
	"strings"
	"testing"

	"github.com/davyxu/cellmesh_demo/tool/cluster"
	"github.com/davyxu/cellmesh_demo/util/certfile/certtest"
)

// With TLS at login and agent: over TCP and WebSocket, and not without trust.
func TestTLS(t *testing.T) {
	cert, key := certtest.Files(t, t.TempDir(), 1)
	c := cluster.New(t)
	var all []*cluster.Process
	for _, name := range []string{"hub", "game", "social"} {
		all = append(all, c.Launch(name))
	}
	for _, name := range []string{"agent", "login"} {
		all = append(all, c.Launch(name, "-tlscert="+cert, "-tlskey="+key))
	}
	for _, p := range all {
		p.WaitReady()
	}
	login := "-login=" + c.Addr("login#0@dev")
	for _, commType := range []string{"tcp", "ws"} {
		pipe := run(t, login, "-commtype="+commType, "-tls", "-ca="+cert)
		pipe.typ("hello\n")
		pipe.keys.Close()
		if end := pipe.end(); end != "" || pipe.out.String() != "hello\n" {
			t.Errorf("%s: ended with %q, printed %q", commType, end, pipe.out.String())
		}
		if end := run(t, login, "-commtype="+commType, "-tls").end(); !strings.Contains(end, "certificate") {
			t.Errorf("%s without trust: ended with %q", commType, end)
		}
		if end := run(t, login, "-commtype="+commType, "-wait=100ms").end(); !strings.HasPrefix(end, "gave up after 100ms") {
			t.Errorf("%s without TLS: ended with %q", commType, end)
		}
	}
	for want, flag := range map[string]string{"there are none in": "-ca=" + key, "no such file": "-ca=nowhere"} {
		if end := run(t, login, "-tls", flag).end(); !strings.Contains(end, want) {
			t.Errorf("%s: ended with %q", flag, end)
		}
	}
}
