package console

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/client/clientapi"
)

// Lines are said a little slower than ChatREQ's and SayREQ's routes allow: a
// pipe may hold any number of them.
const (
	linesPerSecond = 9
	linesAtOnce    = 15
)

func newPace() *rate.Limiter { return rate.NewLimiter(linesPerSecond, linesAtOnce) }

// handleLine does what one line says.
func (c *Console) handleLine(ctx context.Context, conn *clientapi.Conn, line string) (quit bool) {
	o := parse(line)
	switch {
	case o.quit:
		return true
	case o.help:
		c.help()
	case o.say != "":
		c.say("%s", o.say)
	case o.send != nil:
		if _, is := o.send.(*pb.SayREQ); !is || c.awaitPace(ctx, conn) {
			c.request(conn, o.send)
		}
	}
	return false
}

// awaitPace waits until the next line may be said; false when the connection or
// the program ends before.
func (c *Console) awaitPace(ctx context.Context, conn *clientapi.Conn) bool {
	wait := c.pace.Reserve().Delay()
	if wait == 0 {
		return true
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-conn.Done():
	case <-ctx.Done():
	}
	return false
}

// request sends a request that is answered.
func (c *Console) request(conn *clientapi.Conn, m pb.Message) {
	c.mu.Lock()
	c.count++
	if say, is := m.(*pb.SayREQ); is && say.To != "" {
		c.receivers[say.RequestId] = say.To
	}
	c.mu.Unlock()
	if err := conn.Send(m); err != nil {
		c.settle()
		if conn.Session().Reason() == nil { // else the end of the connection is told, and that is enough
			c.say("not sent: %v", err)
		}
	}
}

// settle counts one request less that is waited for.
func (c *Console) settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.count == 0 {
		return
	}
	if c.count--; c.count == 0 {
		clear(c.receivers)
		select {
		case c.back <- struct{}{}:
		default:
		}
	}
}

// receiver is whom a private line was for.
func (c *Console) receiver(requestID string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.receivers[requestID]
}

// answer is the answer to a request: those that an order can send.
type answer struct {
	of  uint16 // the request's ID
	new func() result
}

// result is an answer's message.
type result interface {
	proto.Message
	GetResult() pb.ResultCode
	GetReason() string
}

// answers are all answers, by message ID.
var answers = map[uint16]answer{
	pb.SayACKID:     {pb.SayREQID, func() result { return &pb.SayACK{} }},
	pb.JoinACKID:    {pb.JoinREQID, func() result { return &pb.JoinACK{} }},
	pb.LeaveACKID:   {pb.LeaveREQID, func() result { return &pb.LeaveACK{} }},
	pb.TopicACKID:   {pb.TopicREQID, func() result { return &pb.TopicACK{} }},
	pb.WhoACKID:     {pb.WhoREQID, func() result { return &pb.WhoACK{} }},
	pb.HistoryACKID: {pb.HistoryREQID, func() result { return &pb.HistoryACK{} }},
	pb.PlayerACKID:  {pb.PlayerREQID, func() result { return &pb.PlayerACK{} }},
	pb.UpgradeACKID: {pb.UpgradeREQID, func() result { return &pb.UpgradeACK{} }},
	pb.ClaimACKID:   {pb.ClaimREQID, func() result { return &pb.ClaimACK{} }},
	pb.RenameACKID:  {pb.RenameREQID, func() result { return &pb.RenameACK{} }},
}

// isRequest reports whether a message is one that request waits for.
func isRequest(id uint16) bool {
	for _, a := range answers {
		if a.of == id {
			return true
		}
	}
	return false
}

// answered prints an answer.
func (c *Console) answered(id uint16, body []byte) error {
	m := answers[id].new()
	if err := proto.Unmarshal(body, m); err != nil {
		return fmt.Errorf("decode %s: %w", pb.MessageName(id), err)
	}
	if code := m.GetResult(); code != pb.ResultCode_NoError {
		c.say("%s", cmp.Or(clean(m.GetReason()), code.String()))
	} else {
		for _, line := range c.words(m) {
			c.print(line)
		}
	}
	if say, is := m.(*pb.SayACK); is && say.LineId != 0 && !say.Stored && !c.seen.ids[say.LineId] {
		c.mine[say.LineId] = true // it is done when we hear it
		return nil
	}
	c.settle()
	return nil
}

// words say what an answer says.
func (c *Console) words(m proto.Message) []string {
	switch m := m.(type) {
	case *pb.SayACK:
		if !m.Stored {
			return nil // the line has been shown
		}
		return []string{fmt.Sprintf("%s is not online, and gets it at the next login", clean(c.receiver(m.RequestId)))}
	case *pb.PlayerACK, *pb.UpgradeACK, *pb.ClaimACK, *pb.RenameACK:
		return []string{playerWords(m)}
	case *pb.JoinACK:
		return append([]string{joinWords(m)}, c.recall(m.History, false)...)
	case *pb.LeaveACK:
		return []string{"you have left " + clean(m.Room)}
	case *pb.TopicACK:
		return nil // as all members, we are shown a line about it
	case *pb.WhoACK:
		return []string{whoWords(m)}
	case *pb.HistoryACK:
		if len(m.Lines) == 0 {
			return []string{"nothing was said there lately"}
		}
		return c.recall(m.Lines, true)
	}
	return nil
}
