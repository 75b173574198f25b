package console

import (
	"crypto/rand"
	"strings"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/client/clientapi"
)

// command is what a line that begins with / can be.
type command struct {
	name, usage, does string
	run               func(conn *clientapi.Conn, args string) (quit bool)
}

// commands are all commands. A new one gets its line here.
func (c *Console) commands() []command {
	return []command{
		{"/help", "/help", "this list", func(*clientapi.Conn, string) bool { c.help(); return false }},
		{"/me", "/me", "who you are in the game", func(conn *clientapi.Conn, _ string) bool { return c.request(conn, &pb.PlayerREQ{}) }},
		{"/upgrade", "/upgrade", "pay for the next level", func(conn *clientapi.Conn, _ string) bool {
			return c.request(conn, &pb.UpgradeREQ{RequestId: rand.Text()})
		}},
		{"/claim", "/claim", "take the gold that was earned", func(conn *clientapi.Conn, _ string) bool {
			return c.request(conn, &pb.ClaimREQ{RequestId: rand.Text()})
		}},
		{"/name", "/name NAME", "take another name", func(conn *clientapi.Conn, name string) bool {
			return c.request(conn, &pb.RenameREQ{RequestId: rand.Text(), Name: name})
		}},
		{"/quit", "/quit", "leave, as at the end of input", func(*clientapi.Conn, string) bool { return true }},
	}
}

// handleLine does what one line says: a command, or a line of world chat.
func (c *Console) handleLine(conn *clientapi.Conn, line string) (quit bool) {
	line = strings.TrimRight(line, "\r\n")
	if strings.TrimSpace(line) == "" {
		return false
	}
	if name, args, _ := strings.Cut(line, " "); strings.HasPrefix(name, "/") {
		for _, cmd := range c.commands() {
			if cmd.name == name {
				return cmd.run(conn, strings.TrimSpace(args))
			}
		}
		c.say("there is no command %s; /help lists them", name)
		return false
	}
	c.sent(line)
	if err := conn.Send(&pb.ChatREQ{Content: line}); err != nil {
		c.heard(line)                       // it need not come back
		if conn.Session().Reason() == nil { // else the end of the connection is told, and that is enough
			c.say("not sent: %v", err)
		}
	}
	return false
}

func (c *Console) help() {
	c.say("a line is chat with everybody; one that begins with / is a command:")
	for _, cmd := range c.commands() {
		c.say("  %-10s %s", cmd.usage, cmd.does)
	}
}
