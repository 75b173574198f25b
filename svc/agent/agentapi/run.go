package agentapi

import (
	"errors"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/util/msgmux"
)

// handle runs one item of c's mailbox. What it appends is written when the
// mailbox runs empty; whoever else appends to the link must not rely on that,
// because the next item may block.
func (c *Client) handle(it item) {
	s := c.srv
	switch it.kind {
	case opened:
		if err := s.guard(func() error { return s.handler.Opened(s.ctx, c) }); err != nil {
			s.logFailure(c, "ClientOpen", err)
		}
	case message:
		out := s.getBuf()
		c.serve(it.id, *it.body, out)
		s.putBuf(out)
		c.waiting.Add(-int64(len(*it.body)))
		s.putBuf(it.body)
	case call:
		if err := s.guard(func() error { it.do(s.ctx); return nil }); err != nil {
			s.logFailure(c, "Do", err)
		}
	case closed:
		if err := s.guard(func() error { s.handler.Closed(s.ctx, c, it.reason); return nil }); err != nil {
			s.logFailure(c, "ClientClosed", err)
		}
		if s.clients.Add(-1) == 0 {
			select {
			case s.emptied <- struct{}{}:
			default:
			}
		}
	}
}

// serve handles one message and appends the reply, if there is one, encoded in
// out.
func (c *Client) serve(id uint16, body []byte, out *[]byte) {
	reply, err := c.srv.message(c, id, body)
	if err == nil && reply != nil {
		err = c.append(reply, out)
		msgmux.Free(reply)
	}
	if err != nil {
		c.srv.answerFailure(c, id, err)
	}
}

func (s *Server) message(c *Client, id uint16, body []byte) (reply msgmux.Message, err error) {
	defer msgmux.Recover(&err)
	return s.handler.Message(s.ctx, c, id, body)
}

// guard turns a panic of f into an error.
func (s *Server) guard(f func() error) (err error) {
	defer msgmux.Recover(&err)
	return f()
}

// answerFailure tells the client that its message was not handled; the log too,
// if that is not the client's own doing.
func (s *Server) answerFailure(c *Client, id uint16, err error) {
	var no *msgmux.Refusal
	switch {
	case errors.As(err, &no):
		s.refused.Add(1)
		c.reject(id, pb.ResultCode(no.Code), no.Reason)
	case errors.Is(err, msgmux.ErrMalformed):
		s.refused.Add(1)
		c.reject(id, pb.ResultCode_BadRequest, "the message does not parse")
	case errors.Is(err, errLost): // counted; there is no way to the client
	default:
		s.logFailure(c, pb.MessageName(id), err)
		c.reject(id, pb.ResultCode_InternalError, "the server failed on this message")
	}
}

func (s *Server) logFailure(c *Client, what string, err error) {
	s.failed.Add(1)
	var p *msgmux.PanicError
	panicked := errors.As(err, &p)
	if panicked {
		s.panics.Add(1)
	}
	unsaid, ok := s.failures.Say()
	if !ok {
		return
	}
	args := []any{"message", what, "uid", c.Who().UID, "agent", c.link.ID, "err", err, "unsaid", unsaid}
	if panicked {
		args = append(args, "stack", string(p.Stack))
	}
	s.log.Error("message failed", args...)
}
