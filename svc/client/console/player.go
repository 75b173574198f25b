package console

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/client/clientapi"
)

// request sends a request that the game answers. It never quits.
func (c *Console) request(conn *clientapi.Conn, m pb.Message) (quit bool) {
	c.mu.Lock()
	c.count++
	c.mu.Unlock()
	if err := conn.Send(m); err != nil {
		c.mu.Lock()
		c.settle()
		c.mu.Unlock()
		if conn.Session().Reason() == nil { // else the end of the connection is told, and that is enough
			c.say("not sent: %v", err)
		}
	}
	return false
}

// answered prints what the game has answered.
func (c *Console) answered(id uint16, body []byte) error {
	var m interface {
		proto.Message
		GetResult() pb.ResultCode
		GetReason() string
	}
	var text func() string
	switch id {
	case pb.PlayerACKID:
		p := &pb.PlayerACK{}
		m, text = p, func() string {
			next := fmt.Sprintf("the next level costs %d", p.NextPrice)
			if p.NextPrice == 0 {
				next = "there is no higher one"
			}
			return fmt.Sprintf("%s: level %d, %d gold, %d to claim; %s", p.Name, p.Level, p.Money, p.Unclaimed, next)
		}
	case pb.UpgradeACKID:
		p := &pb.UpgradeACK{}
		m, text = p, func() string { return fmt.Sprintf("level %d for %d gold, you have %d", p.Level, p.Paid, p.Money) }
	case pb.ClaimACKID:
		p := &pb.ClaimACK{}
		m, text = p, func() string { return fmt.Sprintf("claimed %d gold, you have %d", p.Claimed, p.Money) }
	default:
		p := &pb.RenameACK{}
		m, text = p, func() string { return "you are called " + p.Name }
	}
	if err := proto.Unmarshal(body, m); err != nil {
		return fmt.Errorf("decode %s: %w", pb.MessageName(id), err)
	}
	if code := m.GetResult(); code != pb.ResultCode_NoError {
		c.say("%s (%v)", m.GetReason(), code)
	} else {
		c.print(text())
	}
	c.mu.Lock()
	c.settle()
	c.mu.Unlock()
	return nil
}
