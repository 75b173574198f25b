//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/davyxu/cellmesh_demo/svc/agent/route"
)

// project copies what MakeProto.sh needs of this project, so that the script can be let loose on it.
func project(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	list := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{with .Module}}{{if .Main}}{{$.Dir}}{{end}}{{end}}{{end}}", "./tool/protogen", "./tool/routegen")
	list.Dir = root
	dirs, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	copyFiles := func(pattern string) {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no files (%v)", pattern, err)
		}
		for _, file := range files {
			path := filepath.Join(to, strings.TrimPrefix(file, root))
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(mustRead(t, file)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, dir := range strings.Fields(string(dirs)) {
		copyFiles(filepath.Join(dir, "*.go"))
	}
	for _, pattern := range []string{"go.*", "proto/*.proto", "proto/msgid.json", "proto/MakeProto.sh"} {
		copyFiles(filepath.Join(root, pattern))
	}
	return to
}

// makeProto runs the script of a project from a folder outside of it.
func makeProto(t *testing.T, project string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", append([]string{project + "/proto/MakeProto.sh"}, args...)...)
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func wantOutput(t *testing.T, out string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(out, part) {
			t.Errorf("the output is\n%s\nwant %q in it", out, part)
		}
	}
}

// Somebody adds a message: first alone, then with a memsd.
func TestMakeProto(t *testing.T) {
	dir := project(t)
	out, err := makeProto(t, dir, "-nopush")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	wantOutput(t, out, "up to date", "not pushed, as asked")

	file := filepath.Join(dir, "proto/client.proto")
	added := mustRead(t, file) + "\nmessage JumpREQ {\n  option (route) = { service: \"game\" rule: AUTH rate: 2 };\n}\n"
	if err := os.WriteFile(file, []byte(added), 0o644); err != nil {
		t.Fatal(err)
	}
	const nobody = "127.0.0.1:1" // listens there
	out, err = makeProto(t, dir, "-sdaddr="+nobody, "-timeout=200ms")
	if err == nil {
		t.Error("without a memsd the script succeeds")
	}
	wantOutput(t, out, "wrote pb/client.pb.go", "wrote pb/message_gen.go", "NOT pushed to memsd at "+nobody, "go run ./svc/memsd -datafile=persist.json")
	wantOutput(t, mustRead(t, filepath.Join(dir, "proto/pb/message_gen.go")), "func (*JumpREQ) MsgID() uint16")

	data := filepath.Join(t.TempDir(), "persist.json")
	addr, stop := memsd(t, data, "")
	for _, said := range []string{"routegen: pushed ", "routegen: unchanged"} {
		out, err := makeProto(t, dir, "-sdaddr="+addr, "-timeout=20s")
		if err != nil {
			t.Errorf("with a memsd: %v", err)
		}
		wantOutput(t, out, "up to date", said)
	}
	stop()
	wantOutput(t, mustRead(t, data), route.Key, `"msg": "JumpREQ"`)

	// A mistake stops it before anything is pushed.
	if err := os.WriteFile(file, []byte(added+"message {"), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err = makeProto(t, dir, "-sdaddr="+nobody)
	if err == nil || strings.Contains(out, "routegen:") {
		t.Errorf("with a mistake in a .proto file: %v\n%s", err, out)
	}
	wantOutput(t, out, "proto/client.proto:")
}
