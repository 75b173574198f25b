package main

import (
	"bytes"
	"context"
	"flag"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/svc/memsd/server"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memsd runs a real memsd until the test ends.
func memsd(t *testing.T) (addr string) {
	t.Helper()
	s, err := server.New(server.Options{File: filepath.Join(t.TempDir(), "data.json"), Secret: "s"})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// A whole round with a real memsd: what is set is listed and told, what is lifted
// is gone, what makes no sense is refused.
func TestModerate(t *testing.T) {
	addr := memsd(t)
	run := func(args ...string) (string, error) {
		var out bytes.Buffer
		args = append([]string{"-flagfile=", "-sdaddr=" + addr, "-secret=s"}, args...)
		err := basefx.Run(t.Context(), "moderate", newModerator, basefx.Options{
			Args: args, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out, Standalone: true,
		})
		return out.String(), err
	}
	must := func(want string, args ...string) {
		t.Helper()
		if out, err := run(args...); err != nil || !strings.Contains(out, want) {
			t.Errorf("%q says %q, %v; want %q", args, out, err, want)
		}
	}
	must("alice is told: you are muted until 20", "-mute=alice", "-for=90m", "-why=no shouting")
	must("bob is told: you are banned\n", "-ban=bob")
	must("alice  mute", "-list")
	if out, err := run("-list"); err != nil || !regexp.MustCompile(`1h(30|29|28)m`).MatchString(out) {
		t.Errorf("-list says %q, %v", out, err)
	}
	must("bob    ban   it is lifted", "-list")

	reg := discovery.Dial(t.Context(), addr, discovery.Options{Name: "test", Secret: "s"})
	defer reg.Close()
	for key, value := range map[string]string{"sanction/ban/carol": "nonsense", "sanction/ban/dave": `{"until":"2020-01-01T00:00:00Z"}`} {
		if err := discovery.Set(t.Context(), reg, key, value); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := run("-list"); err == nil || !strings.Contains(err.Error(), "sanction/ban/carol") || !strings.Contains(out, "over") {
		t.Errorf("a broken one: %q, %v", out, err)
	}
	must("lifted: [mute] of alice", "-lift=alice")
	must("lifted: [ban] of carol", "-lift=carol")
	for _, c := range []struct {
		why  string
		args []string
	}{
		{"nothing against", []string{"-lift=alice"}},
		{"say one of", nil},
		{"say one of", []string{"-mute=a", "-ban=a"}},
		{"negative", []string{"-mute=a", "-for=-1h"}},
		{"go with", []string{"-lift=bob", "-for=1h"}},
	} {
		if out, err := run(c.args...); err == nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%q: %q, %v; want %q", c.args, out, err, c.why)
		}
	}
}

// Without a memsd it says so, and ends.
func TestNoMemsd(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var out bytes.Buffer
	hasty := func(fs *flag.FlagSet) basefx.Service {
		m := newModerator(fs).(*moderator)
		m.patience = 200 * time.Millisecond
		return m
	}
	err := basefx.Run(ctx, "moderate", hasty, basefx.Options{
		Args: []string{"-flagfile=", "-sdaddr=127.0.0.1:1", "-list"}, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out, Standalone: true,
	})
	if err == nil || !strings.Contains(err.Error(), "go run ./svc/memsd") {
		t.Errorf("%v", err)
	}
}
