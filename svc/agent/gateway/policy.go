package gateway

import (
	"strconv"
	"time"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/agent/route"
)

// refusal says why a message is not taken; the zero refusal takes it.
type refusal struct {
	code   pb.ResultCode
	reason string
}

// check holds one message against its rule. It costs no allocation, but for the
// first message of a kind that has a rate.
func (c *client) check(rule *route.Rule, size int) (no refusal) {
	switch {
	case rule == nil:
		return refusal{pb.ResultCode_MessageBlocked, "there is no rule that lets clients send it"}
	case rule.Access == route.Blocked:
		return refusal{pb.ResultCode_MessageBlocked, "its rule is blocked"}
	case rule.Access == route.Auth && c.user.Load() == nil:
		return refusal{pb.ResultCode_NotVerified, "its rule is auth: only after VerifyREQ"}
	case size > rule.Limit():
		return refusal{pb.ResultCode_MessageTooLarge, "its body is larger than its rule's max_size"}
	case rule.Rate > 0 && !c.spend(rule, time.Since(c.g.began)):
		return refusal{pb.ResultCode_RateLimited, "it comes faster than its rule's rate"}
	}
	return refusal{}
}

// bucket is the allowance of one client for one message: a token bucket. A
// client has one for each kind it has sent that has a rate.
type bucket struct {
	id     uint16
	tokens float64
	at     time.Duration // when tokens was true, since the agent began
}

// spend takes one token for a message under rule, if there is one. A new table
// changes rate and burst of buckets that are in use.
func (c *client) spend(rule *route.Rule, now time.Duration) bool {
	burst := float64(rule.BurstSize())
	for i := range c.buckets {
		b := &c.buckets[i]
		if b.id != rule.ID {
			continue
		}
		b.tokens = min(burst, b.tokens+(now-b.at).Seconds()*rule.Rate)
		b.at = now
		if b.tokens < 1 {
			return false
		}
		b.tokens--
		return true
	}
	c.buckets = append(c.buckets, bucket{rule.ID, burst - 1, now})
	return true
}

// refuse counts a message that was not taken, tells the client if it
// understands, and the log, now and then. The connection lives, unless this
// happens all the time and is the client's fault.
func (c *client) refuse(id uint16, no refusal) error {
	c.g.refusals(no.code.String())
	if unsaid, ok := c.g.refusalLog.Say(); ok {
		c.g.log.Info("message refused", "uid", c.uid(), "remote", c.session.RemoteAddr(), "message", pb.MessageName(id), "id", id,
			"rule", c.g.rules.table.Load().Explain(strconv.Itoa(int(id))), "code", no.code, "reason", no.reason, "unsaid", unsaid)
	}
	c.tell(id, no.code, no.reason)
	switch no.code {
	case pb.ResultCode_ServiceUnavailable, pb.ResultCode_ServiceBusy:
		return nil // not its fault
	}
	return c.violation(time.Now())
}

// tell sends a rejection.
func (c *client) tell(id uint16, code pb.ResultCode, reason string) {
	if frame := c.rejection(id, code, reason); frame != nil {
		c.session.Send(frame, nil) // fails if it is closed already: then there is nobody to tell
	}
}

// rejection is a RejectACK for a client that has said that it understands; nil
// for an old one, which would close on a message it does not know.
func (c *client) rejection(id uint16, code pb.ResultCode, reason string) []byte {
	if !c.understands(pb.VerifyREQ_Reject) {
		return nil
	}
	frame, err := encode(&pb.RejectACK{MsgId: uint32(id), Code: code, Reason: reason})
	if err != nil {
		c.g.log.Error("reject not sent", "err", err)
	}
	return frame
}
