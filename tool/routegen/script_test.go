//go:build unix

package main

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// makeProto runs the real script from a folder outside the project.
func makeProto(t *testing.T, args ...string) (string, error) {
	t.Helper()
	script, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	script += "/../../proto/MakeProto.sh"
	cmd := exec.CommandContext(t.Context(), "sh", append([]string{script}, args...)...)
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestMakeProtoWithoutPush(t *testing.T) {
	out, err := makeProto(t, "-nopush")
	if err != nil || !strings.Contains(out, "up to date") || !strings.Contains(out, "not pushed, as asked") {
		t.Errorf("MakeProto.sh -nopush: %v\n%s", err, out)
	}
}

// Without a memsd everything is generated, and the script says that the push did not happen.
func TestMakeProtoWithoutMemsd(t *testing.T) {
	addr := closedAddr(t)
	out, err := makeProto(t, "-sdaddr="+addr, "-timeout=200ms")
	if err == nil {
		t.Error("the script succeeds")
	}
	for _, part := range []string{"generated files are up to date", "NOT pushed to memsd at " + addr, "go run ./svc/memsd -datafile=persist.json"} {
		if !strings.Contains(out, part) {
			t.Errorf("the output is\n%s\nwant %q in it", out, part)
		}
	}
}

// closedAddr returns a loopback address at which nobody listens.
func closedAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
