package scenario

import (
	"bytes"
	"encoding/binary"
	"os"
	"strings"
	"testing"
	"testing/quick"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/robot/player"
	"github.com/davyxu/cellmesh_demo/svc/robot/tally"
)

// mirror is a connection that keeps the last frame it was given.
type mirror struct{ frame []byte }

func (m *mirror) Append(head, body []byte) (bool, error) {
	m.frame = append(append(m.frame[:0], head...), body...)
	return true, nil
}

func (m *mirror) Flush() {}

// start makes one robot of a scenario that plays against a mirror.
func start(t testing.TB, name string, o player.Options) (*player.Robot, *mirror, *tally.Tally) {
	t.Helper()
	s, err := Find(name)
	if err != nil {
		t.Fatal(err)
	}
	o.Robots, o.UID, o.InFlight = max(o.Robots, 1), "robot", max(o.InFlight, 1)
	tal := &tally.Tally{}
	run := player.NewRun(o, tal)
	r := player.New(run, 0, s.Play)
	m := &mirror{}
	r.Online(m)
	r.Begin()
	return r, m, tal
}

func TestFind(t *testing.T) {
	var help strings.Builder
	Help(&help)
	for _, s := range All() {
		if found, err := Find(s.Name); err != nil || found.Name != s.Name {
			t.Errorf("Find(%q): %v", s.Name, err)
		}
		if !strings.Contains(help.String(), s.Name+" ") {
			t.Errorf("help does not tell of %s", s.Name)
		}
	}
	if _, err := Find("dance"); err == nil || !strings.Contains(err.Error(), "dance") {
		t.Errorf("unknown scenario: %v", err)
	}
}

// The example of the READMEs is a scenario of this program, as it stands there.
func TestReadmeExample(t *testing.T) {
	read := func(file string) string {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return strings.ReplaceAll(string(text), "\t", "    ")
	}
	_, function, _ := strings.Cut(read("greet.go"), "// greet ")
	line := `{Name: "greet", Does: "says hello to the world", Play: greet, Think: time.Second},`
	for _, file := range []string{"README.md", "README_zh.md"} {
		if text := read("../../../" + file); !strings.Contains(text, "```go\n// greet "+function+"```") || !strings.Contains(text, "`"+line+"`") {
			t.Errorf("%s does not have greet.go's function and its line in All", file)
		}
	}
	if !strings.Contains(read("scenario.go"), line) {
		t.Errorf("All does not have the line %s", line)
	}
}

// What echo encodes by itself is an EchoREQ, of the size that was asked for.
func TestEchoEncodes(t *testing.T) {
	for _, size := range []int{0, 16, 64, 200, 60_000} {
		_, m, _ := start(t, "echo", player.Options{Size: size, Seed: 7})
		var req pb.EchoREQ
		if id := binary.LittleEndian.Uint16(m.frame); id != pb.EchoREQID {
			t.Fatalf("message ID %d", id)
		}
		if err := proto.Unmarshal(m.frame[2:], &req); err != nil || len(req.Content) != max(size, echoMark) {
			t.Errorf("size %d: %d bytes of content, %v", size, len(req.Content), err)
		}
	}
}

// Whatever a reply differs in, it is noticed.
func TestEchoNoticesEveryByte(t *testing.T) {
	for at := range 64 + 2 {
		r, m, tal := start(t, "echo", player.Options{Size: 64, Seed: 7, Robots: 3})
		reply := bytes.Clone(m.frame[2:])
		reply[at] ^= 1
		r.Message(pb.EchoACKID, reply)
		if n, _ := tal.Violations(); n != 1 {
			t.Errorf("byte %d changed: %d violations, want 1", at, n)
		}
	}
}

// A round trip costs the robot no memory.
func TestEchoAllocates(t *testing.T) {
	r, m, tal := start(t, "echo", player.Options{Size: 64})
	var reply []byte
	allocs := testing.AllocsPerRun(1000, func() {
		reply = append(reply[:0], m.frame[2:]...)
		r.Message(pb.EchoACKID, reply)
		r.Batch()
	})
	if allocs > 0 {
		t.Errorf("%v allocations a round trip", allocs)
	}
	if n, told := tal.Violations(); n > 0 {
		t.Errorf("%d violations: %v", n, told)
	}
}

func BenchmarkEcho(b *testing.B) {
	r, m, _ := start(b, "echo", player.Options{Size: 64})
	var reply []byte
	b.ReportAllocs()
	for b.Loop() {
		reply = append(reply[:0], m.frame[2:]...)
		r.Message(pb.EchoACKID, reply)
		r.Batch()
	}
}

// No reply makes a robot panic, and only the right one makes it content.
func FuzzEchoReply(f *testing.F) {
	_, m, _ := start(f, "echo", player.Options{Size: 20, Seed: 7})
	good := bytes.Clone(m.frame[2:])
	f.Add(good)
	f.Add([]byte{})
	f.Add([]byte{0x0a, 0x14})
	f.Add(good[:len(good)-1])
	f.Fuzz(func(t *testing.T, reply []byte) {
		r, _, tal := start(t, "echo", player.Options{Size: 20, Seed: 7})
		r.Message(pb.EchoACKID, reply)
		n, _ := tal.Violations()
		if content, ok := bytesField(reply, 1); ok && bytes.Equal(content, good[2:]) {
			if n != 0 {
				t.Errorf("the right reply % x is complained about", reply)
			}
		} else if n == 0 {
			t.Errorf("the reply % x is taken for % x", reply, good)
		}
	})
}

// No line of chat makes a robot panic.
func FuzzLine(f *testing.F) {
	_, m, _ := start(f, "broadcast", player.Options{Size: 40, Seed: 7})
	f.Add(bytes.Clone(m.frame[2:]))
	f.Add([]byte("\x0a\x0arobots 7 #"))
	f.Add([]byte("\x0a\x20robots 7 #99999999999999999999999"))
	f.Fuzz(func(t *testing.T, line []byte) {
		r, m, tal := start(t, "broadcast", player.Options{Size: 40, Seed: 7})
		said := bytes.Clone(m.frame[2:])
		r.Message(pb.ChatACKID, line)
		if n, _ := tal.Violations(); n > 0 && bytes.Equal(line, said) {
			t.Errorf("the line %q is complained about", line)
		}
	})
}

// bytesField reads what the real decoder reads.
func TestBytesField(t *testing.T) {
	err := quick.Check(func(content []byte) bool {
		body, err := proto.Marshal(&pb.EchoACK{Content: content})
		if err != nil {
			return false
		}
		got, ok := bytesField(body, 1)
		return ok == (len(content) > 0) && bytes.Equal(got, content)
	}, nil)
	if err != nil {
		t.Error(err)
	}
}

// Listeners notice lines that are lost, doubled or swapped.
func TestBroadcastChecks(t *testing.T) {
	for _, test := range []struct {
		name  string
		heard []int // of lines 1 to 4
		want  string
	}{
		{"all", []int{1, 2, 3, 4}, ""},
		{"first lost", []int{2, 3, 4}, "missing"},
		{"one lost", []int{1, 2, 4}, "missing"},
		{"last lost", []int{1, 2, 3}, "missing"},
		{"one doubled", []int{1, 2, 2, 3, 4}, "doubled"},
		{"two swapped", []int{1, 3, 2, 4}, "missing doubled"},
		{"one never said", []int{1, 2, 3, 4, 5}, "wrong"},
	} {
		r, _, tal := start(t, "broadcast", player.Options{Size: 40, Seed: 7, InFlight: 4})
		r.Stop()
		frames := map[int][]byte{}
		run := player.NewRun(player.Options{Robots: 1, InFlight: 5, Size: 40, Seed: 7}, &tally.Tally{})
		l := newLines(run)
		m := &mirror{}
		sender := player.New(run, 0, func(r *player.Robot) {
			r.OnBegin(func() {
				for i := range 5 {
					l.say(r, time.Duration(0))
					frames[i+1] = bytes.Clone(m.frame[2:])
				}
			})
		})
		sender.Online(m)
		sender.Begin()
		for _, n := range test.heard {
			r.Message(pb.ChatACKID, frames[n])
		}
		r.Settle()
		_, told := tal.Violations()
		var kinds []string
		for _, v := range told {
			kinds = append(kinds, strings.TrimPrefix(v.Kind, "line "))
		}
		if got := strings.Join(kinds, " "); got != test.want {
			t.Errorf("%s: violations are %q, want %q", test.name, got, test.want)
		}
	}
}
