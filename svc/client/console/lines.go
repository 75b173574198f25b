package console

import (
	"strings"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/client/clientapi"
)

// command is what a line that begins with / can be.
type command struct {
	name, usage, does string
	run               func(conn *clientapi.Conn, args string) (quit bool, err error)
}

// commands are all commands. A new one gets its line here.
func (c *Console) commands() []command {
	return []command{
		{"/help", "/help", "this list", func(*clientapi.Conn, string) (bool, error) { c.help(); return false, nil }},
		{"/quit", "/quit", "leave, as at the end of input", func(*clientapi.Conn, string) (bool, error) { return true, nil }},
	}
}

// handleLine does what one line says: a command, or a line of world chat.
func (c *Console) handleLine(conn *clientapi.Conn, line string) (quit bool, err error) {
	line = strings.TrimRight(line, "\r\n")
	if strings.TrimSpace(line) == "" {
		return false, nil
	}
	if name, args, _ := strings.Cut(line, " "); strings.HasPrefix(name, "/") {
		for _, cmd := range c.commands() {
			if cmd.name == name {
				return cmd.run(conn, strings.TrimSpace(args))
			}
		}
		c.say("there is no command %s; /help lists them", name)
		return false, nil
	}
	c.sent(line)
	return false, conn.Send(&pb.ChatREQ{Content: line})
}

func (c *Console) help() {
	c.say("a line is chat with everybody; one that begins with / is a command:")
	for _, cmd := range c.commands() {
		c.say("  %-10s %s", cmd.usage, cmd.does)
	}
}
