package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/davyxu/cellmesh_demo/proto/msgid"
)

const head = `syntax = "proto3";
package proto;
import "proto/options.proto";
option go_package = "github.com/davyxu/cellmesh_demo/proto/pb;pb";
`

const chat = head + `
// A line.
message ChatREQ {
  option (route) = { service: "social" rule: AUTH max_size: 1024 rate: 2.5 burst: 10 };
  string content = 1;
}
message ChatACK { string content = 1; }
`

// tree makes a folder with the project's options.proto and these files.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	options, err := os.ReadFile("../../proto/options.proto")
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "options.proto", string(options))
	for name, content := range files {
		write(t, dir, name, content)
	}
	return dir
}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// state is all there is in dir, with times, so that it tells a rewritten file from one left alone.
func state(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		all[path] = info.ModTime().String() + info.Mode().String() + read(t, path, "")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// protogen runs the real thing, official generator included.
func protogen(t *testing.T, dir string, flags ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := run(t.Context(), append([]string{"-dir", dir}, flags...), &out)
	return out.String(), err
}

func mustProtogen(t *testing.T, dir string, flags ...string) string {
	t.Helper()
	out, err := protogen(t, dir, flags...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// wantRefused runs protogen on dir and wants it to fail with all of parts in the error, and to
// change nothing.
func wantRefused(t *testing.T, dir string, parts ...string) {
	t.Helper()
	before := state(t, dir)
	_, err := protogen(t, dir)
	if err == nil {
		t.Fatal("there is no error")
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error is\n%v\nwant %q in it", err, part)
		}
	}
	if !maps.Equal(before, state(t, dir)) {
		t.Error("files changed in spite of the error")
	}
}

// What is checked in is what the .proto files say.
func TestProjectIsFresh(t *testing.T) {
	if out, err := protogen(t, "../../proto", "-check"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestGenerate(t *testing.T) {
	dir := tree(t, map[string]string{"chat.proto": chat})
	out := mustProtogen(t, dir)
	for _, file := range []string{"msgid.json", "pb/chat.pb.go", "pb/options.pb.go", "pb/message_gen.go"} {
		if !strings.Contains(out, "protogen: wrote "+file+"\n") {
			t.Errorf("the output is\n%s\nwant %s in it", out, file)
		}
	}
	for file, parts := range map[string][]string{
		"pb/chat.pb.go": {"// A line.\ntype ChatREQ struct {", "func (x *ChatACK) GetContent() string"},
		"pb/message_gen.go": {
			"\tChatREQID uint16 = 29052\n",
			"func (*ChatREQ) MsgID() uint16 { return ChatREQID }",
			"Service: \"social\", Rule: Rule_AUTH, MaxSize: 1024, Rate: 2.5, Burst: 10,\n",
			"New: func() Message { return new(ChatACK) },",
		},
		"msgid.json": {"{\n  \"ChatACK\": 56419,\n  \"ChatREQ\": 29052\n}\n"},
	} {
		content := read(t, dir, file)
		for _, part := range parts {
			if !strings.Contains(content, part) {
				t.Errorf("%s is\n%s\nwant %q in it", file, content, part)
			}
		}
	}
	if strings.Contains(read(t, dir, "pb/message_gen.go"), "func (*Route)") {
		t.Error("Route, which never goes over a wire, has an ID")
	}

	before := state(t, dir)
	if out := mustProtogen(t, dir); !strings.Contains(out, "up to date") {
		t.Errorf("the second run says %q", out)
	}
	if !maps.Equal(before, state(t, dir)) {
		t.Error("the second run changed files")
	}
	if out := mustProtogen(t, dir, "-check"); out != "" {
		t.Errorf("-check says %q", out)
	}
}

func TestCheck(t *testing.T) {
	dir := tree(t, map[string]string{"chat.proto": chat})
	mustProtogen(t, dir)
	write(t, dir, "chat.proto", chat+"message NewREQ {}\n")
	write(t, dir, "pb/gone.pb.go", "package pb\n")
	if err := os.Remove(filepath.Join(dir, "pb/options.pb.go")); err != nil {
		t.Fatal(err)
	}
	before := state(t, dir)
	out, err := protogen(t, dir, "-check")
	if err == nil || !strings.Contains(err.Error(), "sh proto/MakeProto.sh") {
		t.Errorf("the error is %v", err)
	}
	for _, file := range []string{"msgid.json (differs", "pb/chat.pb.go (differs", "pb/message_gen.go (differs", "pb/options.pb.go (missing)", "pb/gone.pb.go (its .proto file is gone)"} {
		if !strings.Contains(out, "stale: "+file) {
			t.Errorf("the output is\n%s\nwant %q in it", out, file)
		}
	}
	if !maps.Equal(before, state(t, dir)) {
		t.Error("-check changed files")
	}

	out = mustProtogen(t, dir)
	if !strings.Contains(out, "removed pb/gone.pb.go") {
		t.Errorf("the output is\n%s\nwant the removed file in it", out)
	}
	mustProtogen(t, dir, "-check")
}

// A checkout with carriage returns is neither stale nor rewritten.
func TestCarriageReturns(t *testing.T) {
	dir := tree(t, map[string]string{"chat.proto": chat})
	mustProtogen(t, dir)
	for file := range state(t, dir) {
		write(t, "", file, strings.ReplaceAll(read(t, "", file), "\n", "\r\n"))
	}
	before := state(t, dir)
	mustProtogen(t, dir, "-check")
	mustProtogen(t, dir)
	if !maps.Equal(before, state(t, dir)) {
		t.Error("files changed")
	}
}

// twins returns two names with the same ID.
func twins(t *testing.T) (string, string) {
	t.Helper()
	owner := map[uint16]string{}
	for i := range 70000 {
		name := fmt.Sprintf("Twin%dREQ", i)
		if first, taken := owner[msgid.Of(name)]; taken {
			return first, name
		}
		owner[msgid.Of(name)] = name
	}
	t.Fatal("no two names have the same ID")
	return "", ""
}

func TestCollision(t *testing.T) {
	a, b := twins(t)
	dir := tree(t, map[string]string{
		"a.proto": head + "message " + a + " {}\n",
		"b.proto": head + "message " + b + " {}\n",
	})
	wantRefused(t, dir, "proto/b.proto:5:1", a, b, fmt.Sprintf("the same ID %d", msgid.Of(a)), "rename the newer one", "option (msg_id)")

	// What the error advises works.
	write(t, dir, "b.proto", head+"message "+b+" { option (msg_id) = 4242; }\n")
	mustProtogen(t, dir)
	if gen := read(t, dir, "pb/message_gen.go"); !strings.Contains(gen, b+"ID uint16 = 4242") || !strings.Contains(gen, "Explicit: true") {
		t.Errorf("message_gen.go is\n%s\nwant the explicit ID in it", gen)
	}
}

func TestCollisionOfExplicitID(t *testing.T) {
	dir := tree(t, map[string]string{"chat.proto": chat + "message Other { option (msg_id) = 29052; }\n"})
	wantRefused(t, dir, "Other", "ChatREQ", "29052")
}

func TestRename(t *testing.T) {
	dir := tree(t, map[string]string{"chat.proto": chat})
	mustProtogen(t, dir)

	renamed := strings.ReplaceAll(chat, "ChatREQ", "SayREQ")
	write(t, dir, "chat.proto", renamed)
	wantRefused(t, dir, "message ChatREQ (ID 29052)", fmt.Sprintf("SayREQ (ID %d)", msgid.Of("SayREQ")), "rename it back", "option (msg_id) = 29052", `delete the line "ChatREQ" from proto/msgid.json`)

	// Renamed with its ID kept, as the error advises.
	write(t, dir, "chat.proto", strings.ReplaceAll(renamed, "message SayREQ {", "message SayREQ {\n  option (msg_id) = 29052;"))
	write(t, dir, "msgid.json", `{"ChatACK": 56419}`)
	mustProtogen(t, dir)
	if ids := read(t, dir, "msgid.json"); !strings.Contains(ids, `"SayREQ": 29052`) {
		t.Errorf("msgid.json is\n%s", ids)
	}
}

func TestRetire(t *testing.T) {
	dir := tree(t, map[string]string{"chat.proto": chat, "old.proto": head + "message OldREQ {}\n"})
	mustProtogen(t, dir)
	if err := os.Remove(filepath.Join(dir, "old.proto")); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, dir, "message OldREQ", `delete the line "OldREQ"`)
	write(t, dir, "msgid.json", `{"ChatACK": 56419, "ChatREQ": 29052}`)
	mustProtogen(t, dir)
	if _, err := os.Stat(filepath.Join(dir, "pb/old.pb.go")); !os.IsNotExist(err) {
		t.Errorf("old.pb.go is still there: %v", err)
	}
}

func TestChangedID(t *testing.T) {
	dir := tree(t, map[string]string{"chat.proto": chat})
	mustProtogen(t, dir)
	write(t, dir, "chat.proto", strings.ReplaceAll(chat, "message ChatACK {", "message ChatACK { option (msg_id) = 9;"))
	wantRefused(t, dir, "proto/chat.proto:11:1", "the ID of ChatACK was 56419 and is now 9", "Set it back")
}

func TestBrokenHistory(t *testing.T) {
	dir := tree(t, map[string]string{"chat.proto": chat})
	write(t, dir, "msgid.json", "{\n  \"ChatACK\": 56419,\n<<<<<<< ours\n}\n")
	wantRefused(t, dir, "proto/msgid.json:3:1", "restore it from version control")
	write(t, dir, "msgid.json", "{\n  \"ChatACK\": \"a\"\n}\n")
	wantRefused(t, dir, "proto/msgid.json:2:")
}

// Every mistake is told with its place, and nothing is written.
func TestMistakes(t *testing.T) {
	with := func(option string) string { return head + "message FooREQ {\n  " + option + "\n  string a = 1;\n}\n" }
	for name, test := range map[string]struct {
		file  string
		parts []string
	}{
		"syntax":          {head + "message FooREQ {\n  string a 1;\n}\n", []string{"proto/foo.proto:6:12: syntax error"}},
		"two at once":     {head + "message FooREQ {\n  strung a = 1;\n  bite b = 2;\n}\n", []string{"proto/foo.proto:6:3", "strung", "proto/foo.proto:7:3", "bite"}},
		"unknown rule":    {with(`option (route) = { service: "game" rule: OPEN };`), []string{"proto/foo.proto:6:", "OPEN"}},
		"numbered rule":   {with(`option (route) = { service: "game" rule: 257 };`), []string{"proto/foo.proto:", "257"}},
		"unknown option":  {with(`option (route) = { service: "game" maxsize: 7 };`), []string{"proto/foo.proto:6:", "maxsize"}},
		"no service":      {with(`option (route) = { rule: AUTH };`), []string{"proto/foo.proto:5:1: message FooREQ: option (route): service is missing"}},
		"negative rate":   {with(`option (route) = { service: "game" rate: -1 };`), []string{"proto/foo.proto:5:1", "rate is -1"}},
		"not a number":    {with(`option (route) = { service: "game" rate: nan };`), []string{"proto/foo.proto:5:1", "rate is NaN"}},
		"too large":       {with(`option (route) = { service: "game" max_size: 70000 };`), []string{"proto/foo.proto:5:1", "at most 65533"}},
		"svcid_field":     {with(`option (route) = { service: "game" svcid_field: "b" };`), []string{"proto/foo.proto:5:1", `svcid_field "b" is not a string field`}},
		"ID 0":            {with(`option (msg_id) = 0;`), []string{"proto/foo.proto:5:1", "must be between 1 and 65535"}},
		"ID too large":    {with(`option (msg_id) = 65536;`), []string{"proto/foo.proto:5:1", "must be between 1 and 65535"}},
		"ID reserved":     {with(`option (msg_id) = 8276;`), []string{"proto/foo.proto:5:1", "GET"}},
		"lower case":      {head + "message fooREQ {}\n", []string{"proto/foo.proto:5:1", "begin the name with a capital"}},
		"name taken":      {head + "message Messages {}\n", []string{"proto/foo.proto:5:1", "take another"}},
		"short import":    {`syntax = "proto3"; package proto; import "options.proto";`, []string{"proto/foo.proto:1:", `imported as "proto/options.proto"`}},
		"package":         {strings.Replace(head, "package proto", "package other", 1), []string{"proto/foo.proto", "write: package proto;"}},
		"no package name": {strings.Replace(head, "option go_package", "// ", 1) + "message FooREQ {}\n", []string{"proto/foo.proto", "go_package is missing"}},
	} {
		t.Run(name, func(t *testing.T) {
			wantRefused(t, tree(t, map[string]string{"foo.proto": test.file}), test.parts...)
		})
	}
}

func TestNoProtoFiles(t *testing.T) {
	wantRefused(t, t.TempDir(), "no .proto files")
}

func TestArguments(t *testing.T) {
	for _, args := range [][]string{{"-nope"}, {"client.proto"}} {
		if err := run(t.Context(), args, new(bytes.Buffer)); err == nil {
			t.Errorf("%q is accepted", args)
		}
	}
}

// Were it otherwise, a broken proto/pb could not be made anew.
func TestDoesNotNeedWhatItMakes(t *testing.T) {
	deps, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(deps), "/proto/pb") {
		t.Error("protogen imports proto/pb")
	}
}

// Two folders with the same files give the same output, whatever else differs.
func TestDeterministic(t *testing.T) {
	files := map[string]string{"chat.proto": chat, "other.proto": head + "import \"proto/chat.proto\";\nmessage Other { ChatACK last = 1; }\n"}
	generated := func() map[string][]byte {
		files, err := generate(t.Context(), tree(t, files), new(bytes.Buffer))
		if err != nil {
			t.Fatal(err)
		}
		return files
	}
	a, b := generated(), generated()
	if !maps.EqualFunc(a, b, bytes.Equal) {
		t.Errorf("the files differ: %q, %q", slices.Sorted(maps.Keys(a)), slices.Sorted(maps.Keys(b)))
	}
}
