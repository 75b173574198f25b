package console

import (
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/tool/cluster"
)

// Two people use all that there is of chat, and what happens is told in words.
func TestChatCommands(t *testing.T) {
	c := cluster.Start(t)
	login := "-login=" + c.Addr("login#0@dev")
	alice := run(t, login, "-uid=alice")
	alice.typ("/join\n/join lobby\n")
	alice.says("it is used as /join ROOM")
	alice.shows("you are in lobby, alone\n")
	bob := run(t, login, "-uid=bob", "-names=true")
	bob.typ("/name Bobby\n")
	bob.shows("you are called Bobby\n")
	bob.typ("/join lobby\n/topic lobby tea time\n/room lobby hi all\n")
	bob.shows("you are in lobby, with 1 other\n")
	bob.shows("[lobby] * Bobby has set the topic: tea time\n[lobby] Bobby: hi all\n")
	alice.shows("[lobby] * Bobby joined\n[lobby] * Bobby has set the topic: tea time\n[lobby] Bobby: hi all\n")
	alice.typ("hello\n/to bob psst\n/who\n/who lobby\n/history 1\n/history lobby\n/history x y 2\n/history cellar\n")
	alice.shows("\nhello\nalice -> bob: psst\n2 online: alice, bob (Bobby)\n2 in lobby: alice, bob (Bobby)\n")
	alice.says("it is used as /history [ROOM] [N]")
	alice.says(`you are not in room "cellar": join it first`)
	bob.shows("\nalice: hello\nalice -> bob: psst\n")
	if ok := regexp.MustCompile(`(?m)^  \d\d:\d\d alice: hello\n  \d\d:\d\d \[lobby\] Bobby: hi all$`).MatchString; !ok(alice.out.String()) {
		t.Errorf("alice's history: %s", alice.out.String())
	}
	alice.typ("/to nobody hi\n/to bob\n/leave lobby\n/leave lobby\n/room lobby hi\n/join Lobby\n")
	alice.says(`nobody called "nobody" was ever here`)
	alice.says("it is used as /to UID TEXT")
	alice.shows("you have left lobby\n")
	alice.says(`you are not in room "lobby": join it first`)
	alice.says(`a room's name has no capitals: try "lobby"`)
	bob.shows("[lobby] * alice left\n")
	bob.typ("/quit\n")
	if end := bob.end(); end != "" {
		t.Errorf("bob ended with %q", end)
	}
	cluster.Eventually(t, "bob is away", func() bool {
		alice.typ("/to bob are you there?\n")
		time.Sleep(200 * time.Millisecond) // a person types no faster
		return strings.Contains(alice.out.String(), "bob is not online, and gets it at the next login\n")
	})
	bob = run(t, login, "-uid=bob")
	bob.shows("while you were away:\n  ")
	bob.shows(" alice -> bob: are you there?\n")
	if out := alice.out.String() + bob.out.String(); strings.Contains(out, "\x1b") {
		t.Errorf("colours without a terminal: %q", out)
	}
}

// Lines of a pipe are said as fast as may be, however many they are.
func TestPace(t *testing.T) {
	c := cluster.Start(t)
	p := run(t, "-login="+c.Addr("login#0@dev"))
	want := strings.Repeat("line\n", 35)
	p.typ(want)
	p.keys.Close()
	if end := p.end(); end != "" || p.out.String() != want || p.errors.String() != "" {
		t.Errorf("ended with %q, printed %q, said %q", end, p.out.String(), p.errors.String())
	}
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		line string
		want pb.Message
		say  string
	}{
		{"hello /to bob\r\n", &pb.SayREQ{Text: "hello /to bob"}, ""},
		{"  hi", &pb.SayREQ{Text: "  hi"}, ""},
		{"/to bob hello  there ", &pb.SayREQ{To: "bob", Text: "hello  there"}, ""},
		{"/to  bob  x", &pb.SayREQ{To: "bob", Text: "x"}, ""},
		{"/room a b c\n", &pb.SayREQ{Room: "a", Text: "b c"}, ""},
		{"/join a", &pb.JoinREQ{Room: "a"}, ""},
		{"/leave a", &pb.LeaveREQ{Room: "a"}, ""},
		{"/topic a", &pb.TopicREQ{Room: "a"}, ""},
		{"/topic a b c", &pb.TopicREQ{Room: "a", Topic: "b c"}, ""},
		{"/who", &pb.WhoREQ{}, ""},
		{"/who a", &pb.WhoREQ{Room: "a"}, ""},
		{"/history", &pb.HistoryREQ{}, ""},
		{"/history a", &pb.HistoryREQ{Room: "a"}, ""},
		{"/history 7", &pb.HistoryREQ{Limit: 7}, ""},
		{"/history a 7", &pb.HistoryREQ{Room: "a", Limit: 7}, ""},
		{"/history 7 7", &pb.HistoryREQ{Room: "7", Limit: 7}, ""},
		{"/history 0", &pb.HistoryREQ{Room: "0"}, ""},
		{"/me", &pb.PlayerREQ{}, ""},
		{"/to bob", nil, "it is used as /to UID TEXT"},
		{"/room a", nil, "it is used as /room ROOM TEXT"},
		{"/leave", nil, "it is used as /leave ROOM"},
		{"/topic", nil, "it is used as /topic ROOM [TEXT]"},
		{"/", nil, "there is no command /; /help lists them"},
		{"/\x1b[2J x", nil, "there is no command /\uFFFD[2J; /help lists them"},
		{"", nil, ""},
		{" \r\n", nil, ""},
	} {
		o := parse(c.line)
		if m, is := o.send.(*pb.SayREQ); is {
			if m.RequestId == "" {
				t.Errorf("%q: no request ID", c.line)
			}
			m.RequestId = ""
		}
		if (o.send == nil) != (c.want == nil) || c.want != nil && !proto.Equal(o.send, c.want) || o.say != c.say {
			t.Errorf("%q: %v %q", c.line, o.send, o.say)
		}
	}
}

// No line makes the client panic, or send what cannot be sent.
func FuzzParse(f *testing.F) {
	for _, line := range []string{"hello", "/to bob hi", "/history a 7", "/topic a b", "/ x", "/quit", "\xff"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		o := parse(line)
		n := 0
		for _, is := range []bool{o.send != nil, o.say != "", o.help, o.quit} {
			if is {
				n++
			}
		}
		if n > 1 || n == 0 && strings.TrimSpace(line) != "" {
			t.Errorf("%q is %+v", line, o)
		}
		if o.send != nil && !isRequest(o.send.MsgID()) {
			t.Errorf("%q sends %s, whose answer nobody waits for", line, pb.MessageName(o.send.MsgID()))
		}
		if strings.ContainsFunc(o.say, unicode.IsControl) {
			t.Errorf("%q is answered with %q", line, o.say)
		}
	})
}

// How lines look on a terminal, and in a pipe.
func TestShow(t *testing.T) {
	pipe, screen := show{}, show{names: true, colors: true}
	for _, c := range []struct {
		line         *pb.LineACK_Line
		pipe, screen string
	}{
		{&pb.LineACK_Line{From: "a", Name: "Al", Text: "hi"}, "hi", "\x1b[1mAl:\x1b[0m hi"},
		{&pb.LineACK_Line{From: "a", Text: "hi\x1b[2J"}, "hi\uFFFD[2J", "\x1b[1ma:\x1b[0m hi\uFFFD[2J"},
		{&pb.LineACK_Line{From: "a", Name: "Al", Room: "r", Text: "hi"}, "[r] Al: hi", "\x1b[36m[r]\x1b[0m \x1b[1mAl:\x1b[0m hi"},
		{&pb.LineACK_Line{From: "a", Name: "Al", To: "b", Text: "hi"}, "a (Al) -> b: hi", "\x1b[35ma (Al) -> b:\x1b[0m hi"},
		{&pb.LineACK_Line{Kind: pb.LineACK_System, From: "a", Room: "r", Text: "a left"}, "[r] * a left", "\x1b[36m[r]\x1b[0m \x1b[2m* a left\x1b[0m"},
		{&pb.LineACK_Line{Kind: pb.LineACK_Notice, Text: "soon"}, "*** soon", "\x1b[33m*** soon\x1b[0m"},
		{&pb.LineACK_Line{Kind: 99, Text: "what"}, "* what", "\x1b[2m* what\x1b[0m"},
	} {
		if got := pipe.line(c.line); got != c.pipe {
			t.Errorf("in a pipe: %q, want %q", got, c.pipe)
		}
		if got := screen.line(c.line); got != c.screen {
			t.Errorf("on a terminal: %q, want %q", got, c.screen)
		}
	}
	noon := time.Date(2026, 11, 25, 12, 0, 0, 0, time.Local)
	for want, at := range map[string]time.Time{"12:00": noon, "2026-11-24 12:00": noon.AddDate(0, 0, -1)} {
		if got := pipe.at(&pb.LineACK_Line{UnixMs: at.UnixMilli()}, noon); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	m := &pb.WhoACK{Room: "r", Total: 3, Players: []*pb.WhoACK_Player{{Uid: "a", Name: "a"}, {Uid: "b", Name: "Bo"}}}
	if got := whoWords(m); got != "3 in r: a, b (Bo) and 1 more" {
		t.Errorf("%q", got)
	}
}

// A line is shown once, however often it comes.
func TestSeen(t *testing.T) {
	var s seen
	for i := range uint64(3 * remembered) {
		if !s.add(i+1) || s.add(i+1) || !s.add(0) {
			t.Fatalf("line %d", i+1)
		}
	}
	if len(s.ids) != remembered || s.add(3*remembered) || !s.add(1) {
		t.Errorf("%d are remembered", len(s.ids))
	}
}
