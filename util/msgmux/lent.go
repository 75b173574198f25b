package msgmux

import (
	"context"
	"fmt"
	"sync"
)

// lentOf is a pointer to T that is a message and can be used again.
type lentOf[T any] interface {
	messageOf[T]
	Reset()
}

// HandleLent registers a handler for a message that comes so often that garbage
// matters, such as a player's position. It fills ack, which is then the reply.
// req and ack are lent, with all that is in them: the handler keeps nothing of
// them, not even a string, without a copy. A refusal ([Refuse]) is the reply as
// with [Handle].
func HandleLent[F, Req, Ack any, PReq lentOf[Req], PAck lentOf[Ack]](m *Mux[F], h func(context.Context, F, *Req, *Ack) error) {
	var loans sync.Pool
	loans.New = func() any {
		l := &loan[Req, Ack]{}
		l.reply = lent{PAck(&l.ack), func() {
			PReq(&l.req).Reset()
			PAck(&l.ack).Reset()
			loans.Put(l)
		}}
		return l
	}
	register[F, Req, PReq](m, func(ctx context.Context, from F, body []byte) (Message, error) {
		l := loans.Get().(*loan[Req, Ack]) // not given back by what fails
		if err := PReq(&l.req).DecodeInPlace(body); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		if err := h(ctx, from, &l.req, &l.ack); err != nil && !setRefusal(PAck(&l.ack), err) {
			return nil, err
		}
		return &l.reply, nil
	})
}

// loan is what one call of a handler is lent.
type loan[Req, Ack any] struct {
	req   Req
	ack   Ack
	reply lent
}

// lent is a reply that is wanted back.
type lent struct {
	Message
	back func()
}

// Free takes back a reply of Dispatch that was lent. It is called when the reply
// has been encoded, for any reply, at most once.
func Free(reply Message) {
	if l, ok := reply.(*lent); ok {
		l.back()
	}
}
