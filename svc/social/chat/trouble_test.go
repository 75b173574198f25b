package chat_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/basefx/sanction"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/tool/cluster"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// talker says lines, one after the other: to everybody, in the room, to a friend.
type talker struct {
	*person
	friend string
	alone  bool // says some lines in a room of its own
	acks   chan *pb.SayACK

	said  int
	acked map[int]*pb.SayACK // by number
}

// note passes on acknowledgements.
func (p *talker) note(m pb.Message) {
	if ack, is := m.(*pb.SayACK); is {
		p.acks <- ack
	}
}

// talk says the next line, and reports whether it was acknowledged in time.
func (p *talker) talk(wait time.Duration) bool {
	n := p.said
	p.said++
	m := &pb.SayREQ{RequestId: fmt.Sprint(n), Text: fmt.Sprintf("%s %d", p.uid, n)}
	switch n % 3 {
	case 0:
		m.Room = "lobby"
	case 1:
		m.To = p.friend
	}
	if err := p.conn.Send(m); err != nil {
		p.t.Errorf("%s: %v", p.uid, err)
		return false
	}
	timeout := time.After(wait)
	for {
		select {
		case ack := <-p.acks:
			if ack.RequestId != m.RequestId {
				continue
			}
			if ack.Result != 0 {
				p.t.Errorf("%s is told: %s", p.uid, told(ack))
			}
			p.acked[n] = ack
			return true
		case <-timeout:
			return false
		}
	}
}

// hears reports whether the person is to hear line n of the talker.
func (p *talker) hears(from *talker, n int) bool {
	if from.isAlone(n) {
		return from == p
	}
	return n%3 != 1 || from == p || from.friend == p.uid
}

// isAlone reports whether only the talker hears line n.
func (p *talker) isAlone(n int) bool { return p.alone && n%10 == 9 }

// Two socials, three agents, five clients; hub and both socials are restarted in
// the middle. No line comes twice or in the wrong order, what was acknowledged
// comes to everybody, and nobody is told to have left.
func TestThroughTrouble(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2, 3)
	hub := s.Launch("hub").WaitReady()
	s.lift(t)
	var people []*talker
	for i, uid := range []string{"a", "b", "c", "d", "e"} {
		p := &talker{acks: make(chan *pb.SayACK, 100), acked: map[int]*pb.SayACK{}}
		p.person = s.enter(t, uid, i%3, new)
		people = append(people, p)
	}
	s.here(t, len(people))
	for i, p := range people {
		p.friend = people[(i+1)%len(people)].uid
		p.send(&pb.JoinREQ{Room: "lobby"})
		cluster.Eventually(t, p.uid+" is in", func() bool {
			return slices.ContainsFunc(p.got(), func(m pb.Message) bool { return m.MsgID() == pb.JoinACKID })
		})
		p.listen(p.note)
	}
	stop := make(chan struct{})
	var all sync.WaitGroup
	for _, p := range people {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(2 * time.Millisecond):
					p.talk(2 * time.Second) // that of one who goes away is never acknowledged
				}
			}
		})
	}
	restart := func(p *cluster.Process) {
		t.Helper()
		time.Sleep(300 * time.Millisecond) // of talk
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
		time.Sleep(100 * time.Millisecond) // of talk without it
		s.Launch(p.Name).WaitReady()
	}
	restart(hub)
	cluster.Eventually(t, "it is counted that hub was lost", func() bool { return s.socials[0].Metric(t, `hub_client_total{what="hub_lost"}`) > 0 })
	for _, social := range s.socials {
		restart(social)
	}
	time.Sleep(6 * time.Second) // in which whoever seemed to have left would be told of
	close(stop)
	all.Wait()
	for _, p := range people {
		for range 3 {
			if !p.talk(time.Minute) {
				t.Errorf("%s: line %d is not acknowledged, after the trouble", p.uid, p.said-1)
			}
		}
		p.verify(people)
		if lost := p.said - len(p.acked); lost > 0 {
			t.Logf("%s: %d of %d lines were not acknowledged", p.uid, lost, p.said)
		}
	}
	ids := map[uint64]bool{}
	for _, p := range people {
		for n, last := 0, uint64(0); n < p.said; n++ {
			if ack := p.acked[n]; ack != nil {
				if ack.LineId <= last || ids[ack.LineId] {
					t.Errorf("%s: line %d has ID %d, after %d", p.uid, n, ack.LineId, last)
				}
				last = ack.LineId
				ids[last] = true
			}
		}
	}
}

// verify checks what a person has heard of all.
func (p *talker) verify(people []*talker) {
	t := p.t
	t.Helper()
	for _, from := range people {
		heard := func() (numbers []int) {
			for _, m := range p.got() {
				ack, is := m.(*pb.LineACK)
				if !is {
					continue
				}
				for _, l := range ack.Lines {
					if strings.HasSuffix(l.Text, " left") {
						t.Fatalf("%s is told: %s", p.uid, l.Text)
					}
					var n int
					if _, err := fmt.Sscanf(l.Text, from.uid+" %d", &n); err == nil && l.From == from.uid && l.Kind == pb.LineACK_Said {
						numbers = append(numbers, n)
					}
				}
			}
			return numbers
		}
		missing := func() (missing []int) {
			got := heard()
			for n := range from.acked {
				if p.hears(from, n) && !slices.Contains(got, n) {
					missing = append(missing, n)
				}
			}
			return missing
		}
		deadline := time.Now().Add(time.Minute)
		for len(missing()) > 0 {
			if time.Now().After(deadline) {
				t.Errorf("%s has not heard of %s: %v", p.uid, from.uid, missing())
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		got := heard()
		for i := 1; i < len(got); i++ {
			if got[i] <= got[i-1] {
				t.Errorf("%s has heard of %s line %d after %d", p.uid, from.uid, got[i], got[i-1])
			}
		}
	}
}

// A player comes while others write to it, through both socials: each line comes
// once, stored or not.
func TestOfflineOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2, 2)
	s.lift(t)
	alice, carol := s.enter(t, "alice", 0, new), s.enter(t, "carol", 1, new)
	for round := range 6 {
		uid := fmt.Sprint("bob", round)
		bob := s.enter(t, uid, round%2, new)
		bob.conn.Close()
		s.here(t, 2)
		const lines = 15
		var all sync.WaitGroup
		for _, from := range []*person{alice, carol} {
			all.Go(func() {
				for n := range lines {
					if err := from.conn.Send(&pb.SayREQ{To: uid, Text: fmt.Sprint(from.uid, " ", n), RequestId: uid}); err != nil {
						t.Error(err)
					}
					time.Sleep(time.Millisecond) // so that some are said before, some after
				}
			})
		}
		time.Sleep(time.Duration(round) * 3 * time.Millisecond)
		bob = s.enter(t, uid, (round+1)%2, new)
		all.Wait()
		count := func() map[string]int {
			times := map[string]int{}
			for _, m := range bob.got() {
				for _, l := range m.(*pb.LineACK).Lines {
					times[l.Text]++
				}
			}
			return times
		}
		cluster.Eventually(t, uid+" has all lines", func() bool { return len(count()) == 2*lines })
		last := map[string]int{"alice": -1, "carol": -1}
		for _, m := range bob.got() {
			for _, l := range m.(*pb.LineACK).Lines {
				var n int
				fmt.Sscanf(l.Text, l.From+" %d", &n)
				if n <= last[l.From] {
					t.Errorf("%s has of %s line %d after %d", uid, l.From, n, last[l.From])
				}
				last[l.From] = n
			}
		}
		stored := 0
		for _, from := range []*person{alice, carol} {
			for _, m := range from.got() {
				if ack, is := m.(*pb.SayACK); is && ack.RequestId == uid && ack.Stored {
					stored++
				}
			}
		}
		for text, n := range count() {
			if n != 1 {
				t.Errorf("%s has %q %d times", uid, text, n)
			}
		}
		t.Logf("%s: %d of %d lines were stored", uid, stored, 2*lines)
		bob.conn.Close()
		s.here(t, 2)
		again := s.enter(t, uid, 0, new) // and never again
		again.asks(&pb.LeaveREQ{}, "leave : NotInRoom")
		again.conn.Close()
		s.here(t, 2)
	}
}

// Several set the topic of a room at once, through two socials: what everybody has
// been told in the end is what the topic is.
func TestTopicsAtOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2, 2)
	s.LiftRates()
	var people []*person
	for i, uid := range []string{"a", "b", "c", "d"} {
		p := s.enter(t, uid, i%2, new)
		s.here(t, i+1)
		p.send(&pb.JoinREQ{Room: "lobby"})
		people = append(people, p)
	}
	const topics = 10
	count := func(p *person, id uint16) (n int) {
		for _, m := range p.got() {
			if m.MsgID() == id {
				n++
			}
		}
		return n
	}
	for _, p := range people {
		cluster.Eventually(t, p.uid+" is in", func() bool { return count(p, pb.JoinACKID) == 1 })
	}
	for n := range topics {
		for _, p := range people {
			p.send(&pb.TopicREQ{Room: "lobby", Topic: fmt.Sprint(p.uid, n)})
		}
	}
	for _, p := range people { // an answer comes when all is told
		cluster.Eventually(t, p.uid+" is answered", func() bool { return count(p, pb.TopicACKID) == topics })
	}
	late := s.enter(t, "late", 0, new)
	late.send(&pb.JoinREQ{Room: "lobby"})
	cluster.Eventually(t, "late is in", func() bool { return count(late, pb.JoinACKID) == 1 })
	var topic string
	for _, m := range late.got() {
		if ack, is := m.(*pb.JoinACK); is {
			topic = ack.Topic
		}
	}
	for _, p := range people {
		var last string
		cluster.Eventually(t, p.uid+" is told of the topic", func() bool {
			for _, m := range p.got() {
				if ack, is := m.(*pb.LineACK); is && strings.Contains(ack.Lines[0].Text, "topic") {
					last = ack.Lines[0].Text
				}
			}
			return strings.HasSuffix(last, ": "+topic)
		})
	}
}

// Who is muted hears, and says nothing; at once, and until it is lifted.
func TestMute(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1, 1)
	s.lift(t)
	alice := s.enter(t, "alice", 0, new)
	alice.asks(&pb.JoinREQ{Room: "lobby"}, `join lobby: 1, topic "", history `)
	alice.asks(&pb.SayREQ{Text: "hi", Room: "lobby"}, "said ", "alice#lobby: hi")
	until := time.Now().Add(time.Hour).Truncate(time.Second)
	if err := sanction.Set(t.Context(), s.Registry, sanction.Sanction{Kind: sanction.Mute, UID: "alice", Until: until, Why: "shouting"}); err != nil {
		t.Fatal(err)
	}
	reason := "you are muted until " + until.UTC().Format("2006-01-02 15:04:05 UTC") + ": shouting"
	answer := func() (text string) { // to this question, behind what else comes
		alice.send(&pb.TopicREQ{Room: "lobby", Topic: "x"})
		cluster.Eventually(t, "an answer", func() bool {
			for all := alice.got(); alice.read < len(all); {
				m := all[alice.read]
				alice.read++
				if id := m.MsgID(); id == pb.TopicACKID || id == pb.RejectACKID {
					text = told(m)
					return true
				}
			}
			return false
		})
		return text
	}
	cluster.Eventually(t, "alice is muted", func() bool { return answer() == `topic lobby: Muted ""` })
	for _, m := range []*pb.SayREQ{{Text: "hi"}, {Text: "hi", Room: "lobby"}, {Text: "hi", To: "alice"}} {
		alice.asks(m, "say : Muted: "+reason)
	}
	alice.asks(&pb.ChatREQ{Content: "hi"}, "reject ChatREQ: Muted: "+reason)
	alice.asks(&pb.WhoREQ{}, "who : NoError 1 alice=alice")
	if _, err := sanction.Lift(t.Context(), s.Registry, "alice"); err != nil {
		t.Fatal(err)
	}
	cluster.Eventually(t, "alice may speak", func() bool {
		alice.send(&pb.SayREQ{Text: "hi", RequestId: "x"})
		cluster.Eventually(t, "an answer", func() bool { return len(alice.got()) > alice.read })
		alice.read = len(alice.got())
		return told(alice.got()[alice.read-1]) != "say x: Muted: "+reason
	})
}

// dyingAgent is an agent that has the player, and then nothing any more; discovery
// has not noticed.
func (s *site) dyingAgent(t *testing.T, uid string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	reg := s.Memory.Open()
	t.Cleanup(func() { reg.Close() })
	lease, err := reg.Register(ctx, discovery.Service{Name: "agent", Index: 9, Group: "dev", State: discovery.Ready})
	if err != nil {
		t.Fatal(err)
	}
	rule, err := link.ParseRule("", "dev")
	if err != nil {
		t.Fatal(err)
	}
	links := link.New(link.Config{Self: lease.Service, Registry: reg, Rule: rule, Log: slog.New(slog.DiscardHandler)})
	link.Handle(links, func(l *link.Link, _ uint64, _ *pb.Greet) error {
		return l.Send(0, &pb.Presence{Here: []*pb.Presence_User{{Uid: uid, Epoch: 1, Features: new}}, Complete: true})
	})
	links.Dial("social")
	var running sync.WaitGroup
	running.Go(func() { links.Run(ctx) })
	s.here(t, 2) // with the sender
	cancel()
	running.Wait()
	social := s.socials[0].App.Links
	cluster.Eventually(t, "its link has ended", func() bool { return social.Get(lease.Service().ID) == nil })
}

// A private line for a player whose agent has just died is not held back when the
// player comes back, until a claim of 20 s runs out: it cannot have left.
func TestReceiversAgentDies(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1, 1)
	bob := s.enter(t, "bob", 0, new)
	s.here(t, 1)
	bob.conn.Close()
	s.here(t, 0)
	alice := s.enter(t, "alice", 0, new)
	s.here(t, 1)
	s.dyingAgent(t, "bob")
	said := time.Now()
	alice.send(&pb.SayREQ{RequestId: "1", To: "bob", Text: "hello"})
	cluster.Eventually(t, "it is stored", func() bool {
		return slices.ContainsFunc(alice.got(), func(m pb.Message) bool { return told(m) == "stored 1" })
	})
	cluster.Eventually(t, "it was tried to hand it over, or nobody waits for the agent any more", func() bool {
		return strings.Contains(s.socials[0].Log(), "agent#9@dev: it is not linked") || s.socials[0].Metric(t, "backend_online") == 1
	})
	bob = s.enter(t, "bob", 0, new)
	cluster.Eventually(t, "bob has it", func() bool {
		return slices.ContainsFunc(bob.got(), func(m pb.Message) bool { return strings.HasPrefix(told(m), "missed ") })
	})
	if took := time.Since(said); took >= 20*time.Second {
		t.Errorf("after %v", took)
	}
}
