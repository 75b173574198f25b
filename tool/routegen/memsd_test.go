package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/agent/route"
	"github.com/davyxu/cellmesh_demo/svc/memsd/server"
)

// memsd runs a real memsd with this data file and secret. stop ends it, and with that its last write.
func memsd(t *testing.T, file, secret string) (addr string, stop func()) {
	t.Helper()
	s, err := server.New(server.Options{File: file, Secret: secret})
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
	stopped := false
	stop = func() {
		t.Helper()
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return l.Addr().String(), stop
}

func mustRun(t *testing.T, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	if err := run(t.Context(), append([]string{"-timeout=20s"}, args...), &out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// Pushed once, the rules are in the data file; pushed again, before and after a restart of memsd,
// not a byte of it changes.
func TestPushToMemsd(t *testing.T) {
	file := filepath.Join(t.TempDir(), "persist.json")
	addr, stop := memsd(t, file, "")
	if said := mustRun(t, "-sdaddr="+addr); !strings.Contains(said, "pushed ") || !strings.Contains(said, addr) {
		t.Errorf("the first push says %q", said)
	}
	if said := mustRun(t, "-sdaddr="+addr); !strings.Contains(said, "unchanged") {
		t.Errorf("the second push says %q", said)
	}
	stop()
	before := mustRead(t, file)
	for _, part := range []string{route.Key, `"msg": "ChatREQ"`} {
		if !strings.Contains(before, part) {
			t.Errorf("the data file is\n%s\nwant %q in it", before, part)
		}
	}

	addr, stop = memsd(t, file, "")
	t.Setenv("CELLMESH_SDADDR", addr)
	if said := mustRun(t); !strings.Contains(said, "unchanged") {
		t.Errorf("the push after a restart says %q", said)
	}
	stop()
	if after := mustRead(t, file); after != before {
		t.Errorf("the data file was\n%s\nand is\n%s", before, after)
	}
}

// The persist.json that is checked in has the rules of the .proto files: MakeProto.sh was run with
// a memsd on it.
func TestPersistIsFresh(t *testing.T) {
	const tracked = "../../persist.json"
	file := filepath.Join(t.TempDir(), "persist.json")
	before := mustRead(t, tracked)
	if err := os.WriteFile(file, []byte(before), 0o644); err != nil {
		t.Fatal(err)
	}
	addr, stop := memsd(t, file, "")
	said := mustRun(t, "-sdaddr="+addr)
	stop()
	if !strings.Contains(said, "unchanged") || mustRead(t, file) != before {
		t.Errorf("persist.json is stale (%s)\n"+
			"mend it: go run ./svc/memsd -datafile=persist.json, beside it sh proto/MakeProto.sh, then commit persist.json", strings.TrimSpace(said))
	}
}

func TestSecret(t *testing.T) {
	addr, _ := memsd(t, "", "open sesame")
	err := run(t.Context(), []string{"-sdaddr=" + addr, "-secret=open barley", "-timeout=2s"}, new(bytes.Buffer))
	if err == nil || !strings.Contains(err.Error(), "NOT pushed") || !strings.Contains(err.Error(), "-secret") {
		t.Errorf("with the wrong secret: %v", err)
	}
	if said := mustRun(t, "-sdaddr="+addr, "-secret=open sesame"); !strings.Contains(said, "pushed ") {
		t.Errorf("with the right secret: %q", said)
	}
}

func mustRead(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// What is pushed is what agents will hold.
func TestPushedRulesAreReadable(t *testing.T) {
	rules, err := route.FromMessages(pb.Messages())
	if err != nil {
		t.Fatal(err)
	}
	again, err := route.Parse([]byte(mustRun(t, "-print")))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(route.Marshal(again), route.Marshal(rules)) {
		t.Errorf("-print gives\n%s\nwant\n%s", route.Marshal(again), route.Marshal(rules))
	}
}
