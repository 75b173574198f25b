//go:build unix

package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// Five people on three agents and two socials talk to everybody, in a room and in
// private, while a social and the hub are killed. No line comes twice or in the
// wrong order; none is lost before, and none after the pause; nobody seems to
// have left. What is written to who is away survives, and comes once.
func TestChatThroughKills(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	all := s.up()
	socials := []*process{all["social"], s.run("social")}
	for _, p := range []*process{socials[1], s.run("agent"), s.run("agent")} {
		p.ready()
	}
	room := &talk{}
	for _, uid := range []string{"alice", "bob", "carol", "dave", "eve"} {
		p := s.client(uid, "-names=true")
		room.people = append(room.people, p)
		p.enter("/join lobby")
		p.begins("you are in lobby")
	}
	room.say(9)
	room.heard(t, 0, 9)

	// The trouble.
	var talking sync.WaitGroup
	talking.Go(func() { room.say(27) })
	time.Sleep(300 * time.Millisecond) // of talk
	socials[0].kill()
	time.Sleep(500 * time.Millisecond) // of talk without it
	all["hub"].kill()
	s.run("hub").ready()
	socials[0] = s.run("social")
	socials[0].ready()
	talking.Wait()

	// The pause is over when everybody hears everybody.
	for _, p := range room.people {
		eventually(t, p.name+" is heard again", func() bool {
			line := fmt.Sprintf("again %d", lineNumber.Add(1))
			p.enter(line)
			end := time.Now().Add(3 * time.Second)
			for ; time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
				n := 0
				for _, h := range room.people {
					n += strings.Count(h.stdout.text(), ": "+line+"\n")
				}
				if n == len(room.people) {
					return true
				}
			}
			return false
		})
	}
	from := room.number
	room.say(9)
	room.heard(t, from, room.number)

	// Who is away.
	alice, eve := room.people[0], room.people[4]
	eve.enter("/quit")
	eve.wait()
	const stored = "eve is not online, and gets it at the next login\n"
	eventually(t, "eve is away", func() bool {
		note := fmt.Sprintf("note %d", lineNumber.Add(1))
		complaints := alice.stderr.text()
		alice.enter("/to eve " + note)
		eventually(t, "it is stored, shown, or refused", func() bool {
			text := alice.stdout.text()
			return strings.Contains(text, stored) || strings.Contains(text, "-> eve: "+note+"\n") || alice.stderr.text() != complaints
		})
		return strings.Contains(alice.stdout.text(), stored)
	})
	notes := strings.Count(alice.stdout.text(), stored)
	for i, p := range socials {
		p.kill()
		socials[i] = s.run("social")
		socials[i].ready()
	}
	eve = s.client("eve", "-names=true")
	eve.begins("while you were away:")
	eventually(t, "eve has her notes", func() bool { return strings.Count(eve.stdout.text(), "alice -> eve: note ") == notes })
	eve.enter("/quit")
	eve.wait()
	eve = s.client("eve", "-names=true")
	eventually(t, "all are online", func() bool {
		asked := strings.Count(eve.stdout.text(), " online: ")
		eve.enter("/who")
		eventually(t, "eve is told who is online", func() bool { return strings.Count(eve.stdout.text(), " online: ") > asked })
		if strings.Contains(eve.stdout.text(), "5 online: alice, bob, carol, dave, eve\n") {
			return true
		}
		time.Sleep(500 * time.Millisecond) // as its rate allows
		return false
	})
	if text := eve.stdout.text(); strings.Contains(text, "note") {
		t.Errorf("eve is told again: %s", text)
	}
	for _, p := range room.people {
		if text := p.stdout.text(); strings.Contains(text, "* bob left") || p != room.people[4] && strings.Contains(text, "* alice left") {
			t.Errorf("%s is told that somebody left: %s", p.name, text)
		}
	}
}

// begins waits until standard output has a line that begins so.
func (p *process) begins(begin string) {
	p.t.Helper()
	p.until(&p.stdout, "print "+begin, func(l string) bool { return strings.HasPrefix(l, begin) })
}

// talk is people who say numbered lines.
type talk struct {
	people []*process
	number int // of the next line, the same for all
}

// say has everybody say so many lines, in turn to everybody, in the room and to
// the next one.
func (k *talk) say(n int) {
	for range n {
		for i, p := range k.people {
			line := fmt.Sprintf("line %d", k.number)
			switch k.number % 3 {
			case 0:
				line = "/room lobby " + line
			case 1:
				line = "/to " + k.people[(i+1)%len(k.people)].name + " " + line
			}
			p.enter(line)
		}
		k.number++
	}
}

var spoken = regexp.MustCompile(`(?m)^(?:\[lobby\] )?(\w+)(?: -> \w+)?: line (\d+)$`)

// heard waits until everybody has heard the lines from one number to another that
// are for them, and checks all that they have heard so far.
func (k *talk) heard(t *testing.T, from, to int) {
	t.Helper()
	for i, p := range k.people {
		var times map[string]int
		eventually(t, fmt.Sprintf("%s hears lines %d to %d", p.name, from, to), func() bool {
			times = map[string]int{}
			last := map[string]int{}
			for _, m := range spoken.FindAllStringSubmatch(p.stdout.text(), -1) {
				var n int
				fmt.Sscan(m[2], &n)
				if before, is := last[m[1]]; is && n <= before {
					t.Fatalf("%s hears of %s line %d after %d", p.name, m[1], n, before)
				}
				last[m[1]] = n
				times[m[1]+" "+m[2]]++
			}
			for j, speaker := range k.people {
				for n := from; n < to; n++ {
					if (n%3 != 1 || i == j || (j+1)%len(k.people) == i) && times[fmt.Sprintf("%s %d", speaker.name, n)] == 0 {
						return false
					}
				}
			}
			return true
		})
		for line, n := range times {
			if n != 1 {
				t.Errorf("%s hears %d times: %s", p.name, n, line)
			}
		}
	}
}
