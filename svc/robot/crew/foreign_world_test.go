package crew

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/proto/pb"
)

// foreignPlayer is a player of a foreign server.
type foreignPlayer struct {
	uid, name              string
	level, money, revision int64
	answers                map[string]pb.Message // by request ID
	count                  map[uint16]int        // changes, by message ID
}

// handle handles what players and talkers send. The caller holds mu.
func (c *foreignClient) handle(id uint16, body []byte) error {
	switch id {
	case pb.PlayerREQID:
		p := c.player()
		c.reply(&pb.PlayerACK{Uid: p.uid, Name: p.name, Level: p.level, Money: p.money, Revision: p.revision})
	case pb.UpgradeREQID:
		return handled(body, &pb.UpgradeREQ{}, func(m *pb.UpgradeREQ) { c.change(id, m.RequestId, c.upgrade) })
	case pb.ClaimREQID:
		return handled(body, &pb.ClaimREQ{}, func(m *pb.ClaimREQ) { c.change(id, m.RequestId, c.claim) })
	case pb.RenameREQID:
		return handled(body, &pb.RenameREQ{}, func(m *pb.RenameREQ) {
			c.change(id, m.RequestId, func(p *foreignPlayer, requestID string) pb.Message {
				p.name = m.Name
				p.revision++
				return &pb.RenameACK{RequestId: requestID, Name: p.name, Revision: p.revision}
			})
		})
	case pb.JoinREQID:
		return handled(body, &pb.JoinREQ{}, func(m *pb.JoinREQ) {
			c.rooms[m.Room] = true
			c.reply(&pb.JoinACK{Room: m.Room, Topic: c.srv.topics[m.Room]})
		})
	case pb.LeaveREQID:
		return handled(body, &pb.LeaveREQ{}, func(m *pb.LeaveREQ) {
			delete(c.rooms, m.Room)
			c.reply(&pb.LeaveACK{Room: m.Room})
		})
	case pb.TopicREQID:
		return handled(body, &pb.TopicREQ{}, func(m *pb.TopicREQ) {
			c.srv.topics[m.Room] = m.Topic
			c.reply(&pb.TopicACK{Room: m.Room, Topic: m.Topic})
		})
	case pb.HistoryREQID:
		return handled(body, &pb.HistoryREQ{}, func(m *pb.HistoryREQ) {
			all := c.srv.said[m.Room]
			c.reply(&pb.HistoryACK{Room: m.Room, Lines: all[max(0, len(all)-int(m.Limit)):]})
		})
	case pb.WhoREQID:
		return handled(body, &pb.WhoREQ{}, func(m *pb.WhoREQ) {
			c.reply(&pb.WhoACK{Room: m.Room, Total: 1, Players: []*pb.WhoACK_Player{{Uid: c.uid}}})
		})
	case pb.SayREQID:
		return handled(body, &pb.SayREQ{}, c.say)
	}
	return nil
}

func handled[M proto.Message](body []byte, m M, f func(M)) error {
	if err := proto.Unmarshal(body, m); err != nil {
		return err
	}
	f(m)
	return nil
}

func (c *foreignClient) player() *foreignPlayer {
	p := c.srv.players[c.uid]
	if p == nil {
		p = &foreignPlayer{uid: c.uid, name: c.uid, level: 1, money: 100, revision: 1, answers: map[string]pb.Message{}, count: map[uint16]int{}}
		c.srv.players[c.uid] = p
	}
	return p
}

// change answers a request, as before if it was answered before.
func (c *foreignClient) change(id uint16, requestID string, rule func(*foreignPlayer, string) pb.Message) {
	p := c.player()
	answer := p.answers[requestID]
	if answer == nil || c.srv.faults.forgetful {
		before := *p
		answer = rule(p, requestID)
		p.answers[requestID] = answer
		if p.count[id]++; c.srv.faults.change != nil {
			c.srv.faults.change(p, before, id, p.count[id])
		}
	}
	c.reply(answer)
}

func (c *foreignClient) upgrade(p *foreignPlayer, requestID string) pb.Message {
	price := 10 * p.level
	if p.money < price {
		return &pb.UpgradeACK{RequestId: requestID, Result: pb.ResultCode_NotEnoughMoney}
	}
	p.money -= price
	p.level++
	p.revision++
	return &pb.UpgradeACK{RequestId: requestID, Level: p.level, Money: p.money, Paid: price, Revision: p.revision}
}

func (c *foreignClient) claim(p *foreignPlayer, requestID string) pb.Message {
	p.money += 25 * p.level
	p.revision++
	return &pb.ClaimACK{RequestId: requestID, Claimed: 25 * p.level, Money: p.money, Revision: p.revision}
}

// say shows a line to everybody who shall see it, its sender too. One for somebody
// who is not here waits.
func (c *foreignClient) say(m *pb.SayREQ) {
	c.srv.lineID++
	line := &pb.LineACK_Line{Id: c.srv.lineID, From: c.uid, Room: m.Room, To: m.To, Text: m.Text}
	stored := m.To != ""
	for _, to := range c.srv.clients {
		switch {
		case m.Room != "" && !to.rooms[m.Room], m.To != "" && to.uid != m.To && to != c, to.uid == "":
		default:
			to.reply(&pb.LineACK{Lines: []*pb.LineACK_Line{line}})
			stored = stored && to.uid != m.To
		}
	}
	if stored {
		c.srv.waits[m.To] = append(c.srv.waits[m.To], line)
	}
	c.srv.said[m.Room] = append(c.srv.said[m.Room], line)
	c.reply(&pb.SayACK{RequestId: m.RequestId, LineId: line.Id, Stored: stored})
}

// handOver tells what waits for a client that is here now, line by line.
func (c *foreignClient) handOver() {
	for _, line := range c.srv.waits[c.uid] {
		c.reply(&pb.LineACK{Lines: []*pb.LineACK_Line{line}, Missed: true})
	}
	if !c.srv.faults.sticky {
		delete(c.srv.waits, c.uid)
	}
}

// lineOf is the line in a frame of the foreign server.
func lineOf(frame []byte) *pb.LineACK_Line {
	var m pb.LineACK
	if err := proto.Unmarshal(frame[2:], &m); err != nil || len(m.Lines) != 1 {
		panic(fmt.Sprint(err, len(m.Lines)))
	}
	return m.Lines[0]
}
