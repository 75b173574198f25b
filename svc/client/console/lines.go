package console

import (
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"

	"github.com/davyxu/cellmesh_demo/proto/pb"
)

// order is what a line asks for: one of these.
type order struct {
	send pb.Message
	say  string // to the person: the line makes no sense
	help bool
	quit bool
}

// command is what a line that begins with / can be.
type command struct {
	name, usage, does string
	run               func(args string) order // order{} says that usage was not kept to
}

// commands are all commands. A new one gets its line here.
func commands() []command {
	return []command{
		{"/help", "/help", "this list", func(string) order { return order{help: true} }},
		{"/to", "/to UID TEXT", "say it to one player, now or at the next login", func(args string) order {
			uid, text := cut(args)
			if uid == "" || text == "" {
				return order{}
			}
			return say(&pb.SayREQ{To: uid, Text: text})
		}},
		{"/join", "/join ROOM", "be in a room; it is made if it is new", func(room string) order {
			if room == "" {
				return order{}
			}
			return order{send: &pb.JoinREQ{Room: room}}
		}},
		{"/leave", "/leave ROOM", "be there no longer", func(room string) order {
			if room == "" {
				return order{}
			}
			return order{send: &pb.LeaveREQ{Room: room}}
		}},
		{"/room", "/room ROOM TEXT", "say it in a room that you are in", func(args string) order {
			room, text := cut(args)
			if room == "" || text == "" {
				return order{}
			}
			return say(&pb.SayREQ{Room: room, Text: text})
		}},
		{"/topic", "/topic ROOM [TEXT]", "set what a room is about, or take that back", func(args string) order {
			room, text := cut(args)
			if room == "" {
				return order{}
			}
			return order{send: &pb.TopicREQ{Room: room, Topic: text}}
		}},
		{"/who", "/who [ROOM]", "who is online, or in a room", func(room string) order { return order{send: &pb.WhoREQ{Room: room}} }},
		{"/history", "/history [ROOM] [N]", "what was said, to everybody or in a room", history},
		{"/me", "/me", "who you are in the game", func(string) order { return order{send: &pb.PlayerREQ{}} }},
		{"/upgrade", "/upgrade", "pay for the next level", func(string) order { return order{send: &pb.UpgradeREQ{RequestId: rand.Text()}} }},
		{"/claim", "/claim", "take the gold that was earned", func(string) order { return order{send: &pb.ClaimREQ{RequestId: rand.Text()}} }},
		{"/name", "/name NAME", "take another name", func(name string) order {
			return order{send: &pb.RenameREQ{RequestId: rand.Text(), Name: name}}
		}},
		{"/quit", "/quit", "leave, as at the end of input", func(string) order { return order{quit: true} }},
	}
}

// cut cuts off the first word.
func cut(args string) (word, rest string) {
	word, rest, _ = strings.Cut(args, " ")
	return word, strings.TrimSpace(rest)
}

func say(m *pb.SayREQ) order {
	m.RequestId = rand.Text()
	return order{send: m}
}

// history reads a room, a number, or both.
func history(args string) order {
	m := &pb.HistoryREQ{}
	words := strings.Fields(args)
	if n := len(words); n > 0 {
		if limit, err := strconv.ParseUint(words[n-1], 10, 32); err == nil && limit > 0 {
			m.Limit, words = uint32(limit), words[:n-1]
		}
	}
	switch len(words) {
	case 0:
	case 1:
		m.Room = words[0]
	default:
		return order{}
	}
	return order{send: m}
}

// parse reads a line: a command, or something to say to everybody. A line of
// nothing is the zero order.
func parse(line string) order {
	line = strings.TrimRight(line, "\r\n")
	if strings.TrimSpace(line) == "" {
		return order{}
	}
	name, args, _ := strings.Cut(line, " ")
	if !strings.HasPrefix(name, "/") {
		return say(&pb.SayREQ{Text: line})
	}
	for _, cmd := range commands() {
		if cmd.name == name {
			o := cmd.run(strings.TrimSpace(args))
			if o == (order{}) {
				o.say = "it is used as " + cmd.usage
			}
			return o
		}
	}
	return order{say: fmt.Sprintf("there is no command %s; /help lists them", clean(name))}
}

func (c *Console) help() {
	c.say("a line is chat with everybody; one that begins with / is a command:")
	for _, cmd := range commands() {
		c.say("  %-19s %s", cmd.usage, cmd.does)
	}
}
