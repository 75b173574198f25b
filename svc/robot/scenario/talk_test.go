package scenario

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/robot/player"
	"github.com/davyxu/cellmesh_demo/svc/robot/tally"
)

// pairOf makes two robots that chat, whose pace nobody keeps: robot 0 says what the
// test wants, robot 1 hears it.
func pairOf(t *testing.T) (talkers [2]*talker, robots [2]*player.Robot, tal *tally.Tally) {
	tal = &tally.Tally{}
	run := player.NewRun(player.Options{Robots: 2, UID: "robot", InFlight: 1}, tal)
	for i := range robots {
		robots[i] = player.New(run, i, func(r *player.Robot) { talkers[i] = newTalker(r) })
		robots[i].Online(&mirror{})
		robots[i].Begin()
	}
	return talkers, robots, tal
}

func tell(t *testing.T, r *player.Robot, m pb.Message) {
	t.Helper()
	body, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	r.Message(m.MsgID(), body)
}

// Robot 0 says four lines in private; robot 1 hears some. A script is lines heard
// (1 to 4), a line that the server refuses (x2), stores (s2) or answers (a2).
func TestLines(t *testing.T) {
	for _, test := range []struct{ name, script, want string }{
		{"all", "1 2 3 4 a1 a2 a3 a4", ""},
		{"not answered, not heard", "1 2 3 a1 a2 a3", ""},
		{"first lost", "2 3 4 a1 a2 a3 a4", "missing"},
		{"one lost", "1 2 4 a1 a2 a3 a4", "missing"},
		{"last lost", "1 2 3 a1 a2 a3 a4", "missing"},
		{"one doubled", "1 2 2 3 4 a4", "doubled"},
		{"two swapped", "1 3 2 4 a4", "out of order"},
		{"refused", "1 3 4 x2 a4", ""},
		{"refused before others come", "x2 1 3 4 a4", ""},
		{"heard though refused", "1 x2 2 3 4 a4", "wrong"},
		{"refused though heard", "1 2 x2 3 4 a4", "wrong"},
		{"stored", "1 3 4 s2 a4", "missing"},
		{"stored, and handed over late", "1 3 4 s2 2 a4", ""},
		{"stored, and handed over twice", "1 3 4 s2 2 2 a4", "doubled"},
		{"stored, and heard after all", "1 s2 2 3 4 a4", ""},
		{"never said", "1 2 3 4 5 a4", "wrong"},
	} {
		talkers, robots, tal := pairOf(t)
		speaker := talkers[0]
		for range 4 {
			speaker.say(toPartner, 0)
		}
		id := uint64(0)
		for _, step := range strings.Fields(test.script) {
			var n uint64
			if fmt.Sscan(strings.TrimLeft(step, "xsa"), &n); n == 0 {
				t.Fatal(step)
			}
			ack := &pb.SayACK{RequestId: fmt.Sprint(n)}
			switch step[0] {
			case 'x':
				ack.Result = pb.ResultCode_TextRefused
			case 's':
				ack.Stored = true
			case 'a':
			default:
				id++
				text := line{0, toPartner, n}.text(robots[0].Run().ID)
				tell(t, robots[1], &pb.LineACK{Lines: []*pb.LineACK_Line{{Id: id, From: "robot0", To: "robot1", Text: text}}})
				continue
			}
			tell(t, robots[0], ack)
		}
		for i := range talkers[1].ears {
			talkers[1].ears[i].settle(robots[1])
		}
		_, told := tal.Violations()
		var kinds []string
		for _, v := range told {
			if strings.HasPrefix(v.Kind, "line ") { // the order of replies is not the matter here
				kinds = append(kinds, strings.TrimPrefix(v.Kind, "line "))
			}
		}
		if got := strings.Join(kinds, " "); got != test.want {
			t.Errorf("%s: violations are %q, want %q: %+v", test.name, got, test.want, told)
		}
	}
}

// Who is not in a room yet is owed nothing that is said there; from then on all
// of it.
func TestRoomLinesFromJoining(t *testing.T) {
	talkers, robots, tal := pairOf(t)
	join := func(i int) { tell(t, robots[i], &pb.JoinACK{Room: roomOf(0)}) }
	say := func() {
		talkers[0].say(toRoom, 0)
		tell(t, robots[0], &pb.SayACK{RequestId: fmt.Sprint(talkers[0].asked)})
	}
	join(0)
	say()
	if n := talkers[1].owed(); n != 0 {
		t.Errorf("%d lines owed to who is not in the room", n)
	}
	join(1)
	if n := talkers[1].owed(); n != 0 {
		t.Errorf("%d lines owed that were said before", n)
	}
	say()
	if n := talkers[1].owed(); n != 1 {
		t.Errorf("%d lines owed, want 1", n)
	}
	robots[1].Settle()
	if _, told := tal.Violations(); len(told) != 1 || told[0].Robot != "robot1" || !strings.Contains(told[0].Expected, "line #2 to a room of robot0") {
		t.Errorf("%+v", told)
	}
}

// What the history tells is held against what was heard.
func TestHistory(t *testing.T) {
	for _, test := range []struct {
		name  string
		after time.Duration // heard so long ago
		tells string        // numbers of lines, x for one that nobody has said
		want  string
	}{
		{"all", time.Minute, "1 2 3", ""},
		{"with what came meanwhile", time.Minute, "1 2 3 4", ""},
		{"one of another", time.Minute, "1 x 2 3", ""},
		{"the newest not yet", time.Second, "1 2", ""},
		{"the newest not at all", time.Minute, "1 2", "history"},
		{"one not at all", time.Minute, "1 3", "history"},
		{"two swapped", time.Minute, "2 1 3", "history"},
		{"one twice", time.Minute, "1 2 2 3", "history"},
	} {
		synctest.Test(t, func(t *testing.T) {
			talkers, robots, tal := pairOf(t)
			for i := range robots {
				tell(t, robots[i], &pb.JoinACK{Room: roomOf(0)})
			}
			said := func(n uint64) *pb.LineACK_Line {
				return &pb.LineACK_Line{Id: 10 * n, From: "robot0", Room: roomOf(0), Text: line{0, toRoom, n}.text(robots[0].Run().ID)}
			}
			for n := range uint64(3) {
				talkers[0].say(toRoom, 0)
				tell(t, robots[0], &pb.SayACK{RequestId: fmt.Sprint(n + 1)})
				tell(t, robots[1], &pb.LineACK{Lines: []*pb.LineACK_Line{said(n + 1)}})
			}
			robots[1].Batch()
			time.Sleep(test.after)
			talkers[1].history(0)
			ack := &pb.HistoryACK{Room: roomOf(0)}
			for _, step := range strings.Fields(test.tells) {
				l := &pb.LineACK_Line{Id: 15, From: "somebody", Text: "hello"}
				if n, err := strconv.ParseUint(step, 10, 64); err == nil {
					l = said(n)
				}
				ack.Lines = append(ack.Lines, l)
			}
			tell(t, robots[1], ack)
			_, told := tal.Violations()
			kind := ""
			if len(told) > 0 {
				kind = told[0].Kind
			}
			if kind != test.want {
				t.Errorf("%s: %q, want %q: %+v", test.name, kind, test.want, told)
			}
		})
	}
}

func FuzzParseLine(f *testing.F) {
	f.Add(line{7, toRoom, 12}.text("abcdefgh"))
	f.Add("#abcde-1w1")
	f.Add("#abcde--1z99999999999999999999")
	f.Fuzz(func(t *testing.T, text string) {
		l, ok := parseLine("abcdefgh", text)
		if !ok {
			return
		}
		if again, ok := parseLine("abcdefgh", l.text("abcdefgh")); !ok || again != l {
			t.Errorf("%q: %+v, again %+v", text, l, again)
		}
	})
}
