package hubapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/util/msgmux"
)

// ErrNoResponder is why a request failed at once: nobody has subscribed to its
// channel.
var ErrNoResponder = errors.New("hubapi: nobody has subscribed to the channel")

// longestWait is how long answers are waited for when the context of a request
// has no deadline.
const longestWait = 10 * time.Second

// maxAnswers is how many answers may wait for Gather.
const maxAnswers = 1024

// Request asks whoever answers on channel (see [Answer]), and returns the first
// answer. The errors: ErrNoResponder; a *msgmux.Refusal of who refused; ctx's
// when there is no answer in time (10 seconds if ctx has no deadline); those of
// Publish. Without a hub the request waits for one.
func Request[A any, P interface {
	*A
	pb.Message
}](ctx context.Context, h *Hub, channel string, q pb.Message) (a *A, err error) {
	failed := Gather[A, P](ctx, h, channel, q, func(_ string, first *A, refused error) (more bool) {
		a, err = first, refused
		return false
	})
	return a, cmp.Or(failed, err)
}

// Gather asks all who answer on channel, and calls each with every answer, from
// whom (svcid), or with the refusal in its place, until each returns false or ctx
// is done, which is its error then: who has not answered is for the caller to
// know. The other errors are those of [Request].
func Gather[A any, P interface {
	*A
	pb.Message
}](ctx context.Context, h *Hub, channel string, q pb.Message, each func(from string, a *A, err error) (more bool)) error {
	var zero P
	return h.ask(ctx, channel, q, &question{id: zero.MsgID(), decode: decode[A, P]}, func(r reply) bool {
		a, _ := r.m.(P)
		return each(r.from, (*A)(a), r.err)
	})
}

// Answer has f called with every request Q on a channel that pattern matches
// ([Own]: on our own), and answers with what it returns: a *msgmux.Refusal tells
// the asker why not; another error is logged, and the asker told that it failed;
// nil and nil is no answer. f's context is done when the asker no longer waits. It
// is called for one request after the other, like the handler of [Subscribe], and
// also for a Q that was published and waits for no answer.
func Answer[Q, A any, PQ interface {
	*Q
	pb.Message
}, PA interface {
	*A
	pb.Message
}](h *Hub, pattern string, f func(ctx context.Context, from string, q *Q) (*A, error), options ...Option) *Subscription {
	var zero PQ
	return h.subscribe(&Subscription{
		hub: h, pattern: pattern, id: zero.MsgID(), decode: decode[Q, PQ],
		call: func(it *item) error {
			ctx := h.ctx
			if it.asks != nil {
				var cancel context.CancelFunc
				ctx, cancel = context.WithDeadline(ctx, it.asks.until)
				defer cancel()
				if ctx.Err() != nil {
					h.count.late.Add(1)
					return nil // it waited here for too long
				}
			}
			a, err := f(ctx, it.from(), (*Q)(it.m.(PQ)))
			if err != nil || a == nil || it.asks == nil {
				return err
			}
			return h.answer(it.asks, newParcel(it.asks.channel), PA(a))
		},
	}, options)
}

// question is a request that waits for answers.
type question struct {
	id     uint16 // of the answer
	decode func(body []byte) (pb.Message, error)
	got    chan reply
}

type reply struct {
	from string
	m    pb.Message // nil: err
	err  error
}

// asks is the end of a request that is somebody else's.
type asks struct {
	channel string
	request uint64
	until   time.Time
	via     Via
}

func newAsks(p *pb.HubPublish, via Via) *asks {
	return &asks{strings.Clone(p.Reply), p.Request, time.Now().Add(time.Duration(p.WaitMs) * time.Millisecond), via}
}

// inbox is the channel on which this process waits for answers.
func (h *Hub) inbox() string { return "_reply." + h.svcid }

// firstNumber makes sure that answers for who had our svcid before us answer
// nothing of ours.
func firstNumber() uint64 { return rand.Uint64() }

// ask publishes q and calls each with the answers until it returns false.
func (h *Hub) ask(ctx context.Context, channel string, q pb.Message, what *question, each func(reply) bool) error {
	if _, has := ctx.Deadline(); !has {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, longestWait)
		defer cancel()
	}
	until, _ := ctx.Deadline()
	what.got = make(chan reply, maxAnswers)
	h.mu.Lock()
	h.number++
	number := h.number
	h.asked[number] = what
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		delete(h.asked, number)
		h.mu.Unlock()
	}()
	wait := min(max(time.Until(until).Milliseconds(), 1), math.MaxUint32)
	p := newParcel(channel)
	p.Reply, p.Request, p.WaitMs = h.inbox(), number, uint32(wait)
	if err := h.publish(ctx, p, q, nil); err != nil {
		return err
	}
	for {
		select {
		case r := <-what.got:
			if errors.Is(r.err, ErrNoResponder) {
				return fmt.Errorf("%s on %s: %w", pb.MessageName(q.MsgID()), channel, ErrNoResponder)
			}
			if !each(r) {
				return nil
			}
		case <-h.ctx.Done():
			return ErrClosed
		case <-ctx.Done():
			why := "no answer"
			if !h.engine.Up() {
				why = "no hub is linked"
			}
			return fmt.Errorf("%s on %s: %s: %w", pb.MessageName(q.MsgID()), channel, why, context.Cause(ctx))
		}
	}
}

// answered takes an answer.
func (h *Hub) answered(p *pb.HubPublish, _ Via) {
	h.mu.Lock()
	what := h.asked[p.Request]
	h.mu.Unlock()
	if what == nil {
		h.count.late.Add(1)
		return
	}
	r := reply{from: strings.Clone(p.From)}
	switch {
	case p.Nobody:
		r.err = ErrNoResponder
	case p.Code != pb.ResultCode_NoError:
		r.err = msgmux.Refuse(p.Code, "%s", p.Reason)
	case p.MsgId != uint32(what.id):
		r.err = fmt.Errorf("%s answers with %s, want %s", r.from, pb.MessageName(uint16(p.MsgId)), pb.MessageName(what.id))
	default:
		if r.m, r.err = what.decode(p.Body); r.err != nil {
			r.m, r.err = nil, fmt.Errorf("answer of %s: decode: %w", r.from, r.err)
		}
	}
	select {
	case what.got <- r:
	default:
		h.count.late.Add(1)
	}
}

// answer sends an answer back the way its request came.
func (h *Hub) answer(to *asks, p *parcel, m pb.Message) error {
	p.Request = to.request
	return h.publish(h.ctx, p, m, to.via)
}

// refuse answers that there is no answer, because of err.
func (h *Hub) refuse(to *asks, err error) {
	code, reason := pb.ResultCode_InternalError, h.svcid+" failed on it"
	var no *msgmux.Refusal
	if errors.As(err, &no) {
		code, reason = pb.ResultCode(no.Code), no.Reason
	}
	p := newParcel(to.channel)
	p.Code, p.Reason = code, strings.ToValidUTF8(reason, "?")
	_ = h.answer(to, p, nil) // if it cannot be sent, the asker waits in vain
}
