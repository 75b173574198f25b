package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/util/cellnet"
)

// closeReason is why the agent closes a connection: a code for the client, a
// label for metrics, words for both.
type closeReason struct {
	code  pb.ResultCode
	label string
	text  string
}

// Error tells the reason in words.
func (r *closeReason) Error() string { return "agent: " + r.text }

// label is the class of a connection's end, for metrics.
func label(reason error) string {
	var own *closeReason
	switch {
	case errors.As(reason, &own):
		return own.label
	case errors.Is(reason, cellnet.ErrReadTimeout): // the only deadline the agent sets
		return "verify_timeout"
	case errors.Is(reason, context.Canceled): // came while the agent stopped
		return shutdown.label
	}
	return cellnet.ReasonLabel(reason)
}

// codeOf is what backends are told about a connection's end.
func codeOf(reason error) pb.ResultCode {
	var own *closeReason
	switch {
	case errors.As(reason, &own):
		return own.code
	case errors.Is(reason, cellnet.ErrReadTimeout):
		return pb.ResultCode_VerifyTimeout
	case errors.Is(reason, context.Canceled):
		return shutdown.code
	case errors.Is(reason, cellnet.ErrIdle):
		return pb.ResultCode_HeartbeatTimeout
	case errors.Is(reason, cellnet.ErrSlowConsumer), errors.Is(reason, cellnet.ErrWriteTimeout):
		return pb.ResultCode_SlowConsumer
	case errors.Is(reason, cellnet.ErrBadFrame), errors.Is(reason, cellnet.ErrShortFrame), errors.Is(reason, cellnet.ErrFrameTooLarge):
		return pb.ResultCode_ProtocolError
	}
	return pb.ResultCode_NoError
}

// kicked is the reason that a backend gives.
func kicked(code pb.ResultCode, text string) *closeReason {
	if text == "" {
		text = code.String()
	}
	return &closeReason{code, "kicked", text}
}

// LastWords tells the client why its connection is closed, if it understands.
func (c *client) LastWords(reason error) []byte {
	code, text := codeOf(reason), strings.TrimPrefix(reason.Error(), "cellnet: ")
	if code == pb.ResultCode_NoError {
		return nil // it left by itself
	}
	var own *closeReason
	if errors.As(reason, &own) {
		text = own.text
	}
	return c.rejection(0, code, text)
}

// shutdown is the reason of all that end with the agent.
var shutdown = &closeReason{pb.ResultCode_ShuttingDown, "shutdown", "the server stops: log in again"}

// elsewhere is the reason of a client whose uid has logged in again.
var elsewhere = &closeReason{pb.ResultCode_LoggedInElsewhere, "elsewhere", "you have logged in elsewhere"}

// Drain tells the clients that the agent stops, and closes their connections.
func (g *Gateway) Drain(context.Context) error {
	g.slots.each(func(c *client) { c.session.Close(shutdown) })
	return nil
}

// Refusals in such number within violationWindow end a connection: a client
// that means well stops earlier.
const violationWindow = 10 * time.Second

// violation counts a refusal that is the client's own fault; it is an error
// when there were too many. Owned by the goroutine that reads the session.
func (c *client) violation(now time.Time) error {
	if now.Sub(c.since) > violationWindow {
		c.since, c.violations = now, 0
	}
	if c.violations++; c.g.maxViolations == 0 || c.violations < c.g.maxViolations {
		return nil
	}
	return &closeReason{pb.ResultCode_TooManyViolations, "violations",
		fmt.Sprintf("%d messages refused within %v", c.violations, violationWindow)}
}
