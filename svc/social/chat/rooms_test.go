package chat_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/tool/cluster"
)

// What is said reaches those it is for, at whatever agent, through whatever
// social: everybody, a room, one player; old clients in words they know.
func TestWhoHears(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2, 3)
	alice, bob, carol := s.enter(t, "alice", 0, new), s.enter(t, "bob", 1, new), s.enter(t, "carol", 2, new)
	dave, ancient := s.enter(t, "dave", 0, new), s.enter(t, "ancient", 1, old)
	s.here(t, 5)
	all := []*person{alice, bob, carol, dave, ancient}

	for _, p := range all { // the world
		// Lines of two socials in the same millisecond are in no order.
		for now := time.Now().UnixMilli(); time.Now().UnixMilli() == now; {
		}
		if p == ancient {
			p.send(&pb.ChatREQ{Content: "hi"})
		} else {
			p.send(&pb.SayREQ{Text: "hi", RequestId: "1"})
		}
		if p != ancient {
			p.next("said 1") // the answer comes first
		}
		for _, to := range all {
			if to == ancient {
				to.next("chat hi")
			} else {
				to.next(p.uid + ": hi")
			}
		}
	}

	// A room.
	alice.asks(&pb.JoinREQ{Room: "lobby"}, `join lobby: 1, topic "", history `)
	bob.asks(&pb.JoinREQ{Room: "lobby"}, `join lobby: 2, topic "", history `)
	alice.next("*#lobby: bob joined")
	bob.asks(&pb.JoinREQ{Room: "lobby"}, `join lobby: 2, topic "", history `) // nobody is told again
	bob.asks(&pb.SayREQ{Text: "tea?", Room: "lobby", RequestId: "2"}, "said 2", "bob#lobby: tea?")
	alice.next("bob#lobby: tea?")
	carol.asks(&pb.SayREQ{Text: "me too", Room: "lobby", RequestId: "3"}, `say 3: NotInRoom: you are not in room "lobby": join it first`)
	alice.asks(&pb.TopicREQ{Room: "lobby", Topic: "tea time"}, "*#lobby: alice has set the topic: tea time", `topic lobby: NoError "tea time"`)
	bob.next("*#lobby: alice has set the topic: tea time")
	var want string
	cluster.Eventually(t, "the line is in the history, whoever is asked", func() bool { // another social writes it
		carol.send(&pb.JoinREQ{Room: "lobby"})
		cluster.Eventually(t, "an answer", func() bool { return len(carol.got()) > carol.read })
		want = told(carol.got()[carol.read])
		carol.read++
		return want == `join lobby: 3, topic "tea time", history bob#lobby: tea?`
	})
	alice.next("*#lobby: carol joined")
	bob.next("*#lobby: carol joined")
	carol.asks(&pb.WhoREQ{Room: "lobby"}, "who lobby: NoError 3 alice=alice bob=bob carol=carol")
	carol.asks(&pb.WhoREQ{}, "who : NoError 5 alice=alice ancient=ancient bob=bob carol=carol dave=dave")
	dave.asks(&pb.WhoREQ{Room: "lobby"}, "who lobby: NotInRoom 0 ")
	carol.asks(&pb.LeaveREQ{Room: "lobby"}, "leave lobby: NoError")
	carol.asks(&pb.LeaveREQ{Room: "lobby"}, "leave lobby: NotInRoom")
	carol.asks(&pb.TopicREQ{Room: "lobby", Topic: "mine"}, `topic lobby: NotInRoom ""`)
	alice.next("*#lobby: carol left")
	bob.next("*#lobby: carol left")
	bob.asks(&pb.TopicREQ{Room: "lobby"}, "*#lobby: bob has taken the topic back", `topic lobby: NoError ""`)
	alice.next("*#lobby: bob has taken the topic back")

	// One player.
	alice.asks(&pb.SayREQ{Text: "psst", To: "carol", RequestId: "4"}, "alice@carol: psst", "said 4")
	carol.next("alice@carol: psst")
	alice.asks(&pb.SayREQ{Text: "old one", To: "ancient", RequestId: "5"}, "alice@ancient: old one", "said 5")
	ancient.next("chat alice (private): old one")
	alice.asks(&pb.SayREQ{Text: "note", To: "alice", RequestId: "6"}, "alice@alice: note", "said 6")
	alice.asks(&pb.SayREQ{Text: "hello?", To: "nobody", RequestId: "7"}, `say 7: PlayerUnknown: nobody called "nobody" was ever here`)

	// The rest of a room, once somebody is gone.
	bob.conn.Close()
	alice.next("*#lobby: bob left")
	for _, p := range []*person{alice, carol, dave} {
		p.asks(&pb.HistoryREQ{Limit: 2}, "history : NoError dave: hi | ancient: hi")
	}
	dave.asks(&pb.HistoryREQ{Room: "lobby"}, "history lobby: NotInRoom ")
	nothing(t, all...)
}

// What is refused is refused in words, and costs nothing.
func TestLimits(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1, 1)
	s.Set("config/social/text_max", "5")
	s.Set("config/social/rooms_max", "2")
	s.Set("config/social/inbox_max", "2")
	s.Set("config/social/filter", `{"words":["darn","坏蛋"]}`)
	s.follows(t, "TextMax:5 TopicMax:120 RoomsMax:2 InboxMax:2 HistoryLines:200 JoinLines:20 KeepDays:30 Filter:{Words:[darn 坏蛋] Refuse:false}")
	alice, ancient := s.enter(t, "alice", 0, new), s.enter(t, "ancient", 0, old)
	bob := s.enter(t, "bob", 0, new)
	bob.asks(&pb.LeaveREQ{}, "leave : NotInRoom")
	bob.conn.Close()
	s.here(t, 2)
	say := func(text, want string) {
		t.Helper()
		alice.asks(&pb.SayREQ{Text: text, RequestId: "x"}, "say x: TextRefused: "+want)
		alice.asks(&pb.ChatREQ{Content: text}, "reject ChatREQ: TextRefused: "+want)
	}
	say("", "it is empty")
	say("世界世界世界", "it has 6 characters, at most 5 are allowed")
	say("a\tb", "it has the control character U+0009")
	alice.asks(&pb.SayREQ{Text: "x", Room: "a", To: "b"}, "say : BadRequest: a line is for a room or for a player, not both")
	alice.asks(&pb.SayREQ{Text: "x", RequestId: strings.Repeat("x", 65)}, "say : BadRequest: a request ID has at most 64 bytes")
	alice.asks(&pb.JoinREQ{Room: "Lobby"}, `join Lobby: RoomNameRefused: a room's name has no capitals: try "lobby"`)
	alice.asks(&pb.JoinREQ{Room: "darn"}, "join darn: RoomNameRefused: a room cannot be called that here")
	for _, room := range []string{"a", "b"} {
		alice.asks(&pb.JoinREQ{Room: room}, fmt.Sprintf(`join %s: 1, topic "", history `, room))
	}
	alice.asks(&pb.JoinREQ{Room: "c"}, "join c: TooManyRooms: you are in 2 rooms, as many as you may: leave one first")
	alice.asks(&pb.LeaveREQ{Room: "a"}, "leave a: NoError")
	alice.asks(&pb.JoinREQ{Room: "c"}, `join c: 1, topic "", history `)

	// The filter, live.
	alice.asks(&pb.SayREQ{Text: "Darn!", RequestId: "1"}, "said 1", "alice: ****!")
	ancient.next("chat ****!")
	alice.asks(&pb.TopicREQ{Room: "b", Topic: "坏蛋们"}, "*#b: alice has set the topic: **们", `topic b: NoError "**们"`)
	s.Set("config/social/filter", `{"words":["darn"],"refuse":true}`)
	s.follows(t, "Filter:{Words:[darn] Refuse:true}")
	alice.asks(&pb.SayREQ{Text: "darn", RequestId: "2"}, "say 2: TextRefused: it has a word that is not allowed here")
	alice.asks(&pb.SayREQ{Text: "坏蛋", RequestId: "3"}, "said 3", "alice: 坏蛋")
	ancient.next("chat 坏蛋")
	s.Set("config/social/filter", `{"words":[""]}`)
	cluster.Eventually(t, "the bad list is complained about", func() bool {
		return strings.Contains(s.socials[0].Log(), "filter: word 1")
	})
	alice.asks(&pb.SayREQ{Text: "darn", RequestId: "4"}, "say 4: TextRefused: it has a word that is not allowed here")

	// The inbox.
	for _, id := range []string{"5", "6"} {
		alice.asks(&pb.SayREQ{Text: "later", To: "bob", RequestId: id}, "alice@bob: later", "stored "+id)
	}
	alice.asks(&pb.SayREQ{Text: "later", To: "bob", RequestId: "7"}, "say 7: InboxFull: too many lines wait for bob already")
	s.enter(t, "bob", 0, new).next("missed alice@bob: later | alice@bob: later")
	nothing(t, alice, ancient)
}

// follows waits until the socials have settings that say so.
func (s *site) follows(t testing.TB, what string) {
	t.Helper()
	for _, social := range s.socials {
		cluster.Eventually(t, "in force: "+what, func() bool { return strings.Contains(social.Log(), what) })
	}
}
