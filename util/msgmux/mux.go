// Package msgmux dispatches messages by ID to typed handlers:
//
//	mux := msgmux.New[*Player]()
//	msgmux.Handle(mux, w.upgrade) // func(ctx, *Player, *pb.UpgradeREQ) (*pb.UpgradeACK, error)
//	reply, err := mux.Dispatch(ctx, player, id, body)
//
// Handlers are registered by hand, in one visible place, before the first
// Dispatch. A handler that panics costs one request. mux.go is all of it but
// the refusals (refuse.go) and handlers that make no garbage (lent.go).
package msgmux

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
)

// ErrMalformed is part of Dispatch's error when a body is not the message that
// its ID says.
var ErrMalformed = errors.New("message does not parse")

// Message is a generated message with its ID on the wire.
type Message interface {
	proto.Message
	MsgID() uint16
	Decode(b []byte) error             // into a new message; keeps nothing of b
	DecodeInPlace(b []byte) error      // the same, but text and bytes are those of b
	AppendTo(b []byte) ([]byte, error) // encoded
}

// messageOf is a pointer to T that is a message.
type messageOf[T any] interface {
	*T
	Message
}

// Mux maps message IDs to handlers that are told who sent the message as an F.
// It is filled before it is used and read-only afterwards, so that any number
// of goroutines may dispatch at once.
type Mux[F any] struct {
	handlers []handler[F]
	index    [1 << 16]uint16 // by message ID: 1 + position in handlers, 0 = none
	wiring   []string        // what was wrong while registering
}

type handler[F any] struct {
	id   uint16
	name string
	call func(ctx context.Context, from F, body []byte) (Message, error)
}

// New makes an empty mux.
func New[F any]() *Mux[F] { return &Mux[F]{} }

// Handle registers a handler that answers: its reply is what Dispatch returns;
// nil answers nothing. An error made by [Refuse] becomes a reply that carries
// code and reason if the reply's type can; any other error is Dispatch's.
func Handle[F, Req, Ack any, PReq messageOf[Req], PAck messageOf[Ack]](m *Mux[F], h func(context.Context, F, *Req) (*Ack, error)) {
	add[F, Req, PReq](m, func(ctx context.Context, from F, req *Req) (Message, error) {
		ack, err := h(ctx, from, req)
		if err != nil {
			if ack := PAck(new(Ack)); setRefusal(ack, err) {
				return ack, nil
			}
			return nil, err
		}
		if ack == nil {
			return nil, nil
		}
		return PAck(ack), nil
	})
}

// HandleOneWay registers a handler that answers nothing.
func HandleOneWay[F, Req any, PReq messageOf[Req]](m *Mux[F], h func(context.Context, F, *Req) error) {
	add[F, Req, PReq](m, func(ctx context.Context, from F, req *Req) (Message, error) {
		return nil, h(ctx, from, req)
	})
}

func add[F, Req any, PReq messageOf[Req]](m *Mux[F], h func(context.Context, F, *Req) (Message, error)) {
	register[F, Req, PReq](m, func(ctx context.Context, from F, body []byte) (Message, error) {
		req := PReq(new(Req))
		if err := req.Decode(body); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		return h(ctx, from, (*Req)(req))
	})
}

// register registers the call of a handler of Req.
func register[F, Req any, PReq messageOf[Req]](m *Mux[F], call func(ctx context.Context, from F, body []byte) (Message, error)) {
	var zero PReq
	id, name := zero.MsgID(), string(zero.ProtoReflect().Descriptor().Name())
	if old := m.find(id); old != nil {
		m.wiring = append(m.wiring, fmt.Sprintf("message %s has two handlers (ID %d, first for %s)", name, id, old.name))
		return
	}
	m.handlers = append(m.handlers, handler[F]{id, name, call})
	m.index[id] = uint16(len(m.handlers))
}

// find is the handler of message id, nil if there is none.
func (m *Mux[F]) find(id uint16) *handler[F] {
	if i := m.index[id]; i != 0 {
		return &m.handlers[i-1]
	}
	return nil
}

// Handles reports whether message id has a handler.
func (m *Mux[F]) Handles(id uint16) bool { return m.index[id] != 0 }

// Lister is a mux of any sender type.
type Lister interface {
	list() (handlers map[uint16]string, wrong []string)
}

func (m *Mux[F]) list() (map[uint16]string, []string) {
	names := make(map[uint16]string, len(m.handlers))
	for _, h := range m.handlers {
		names[h.id] = h.name
	}
	return names, m.wiring
}

// Check compares the handlers of all muxes together with the messages there
// must be, by ID and name: the error names each message without a handler, each
// handler that nothing asked for, and each message registered twice. Call it at
// start.
func Check(must map[uint16]string, muxes ...Lister) error {
	var wrong []string
	have := map[uint16]string{}
	for _, m := range muxes {
		handlers, wiring := m.list()
		wrong = append(wrong, wiring...)
		for id, name := range handlers {
			if _, twice := have[id]; twice {
				wrong = append(wrong, fmt.Sprintf("message %s (ID %d) has handlers in two muxes", name, id))
			}
			have[id] = name
		}
	}
	for id, name := range must {
		if _, ok := have[id]; !ok {
			wrong = append(wrong, fmt.Sprintf("message %s (ID %d) has no handler: register one with msgmux.Handle", name, id))
		}
	}
	for id, name := range have {
		if _, ok := must[id]; !ok {
			wrong = append(wrong, fmt.Sprintf("message %s (ID %d) has a handler here, but no route brings it: set its route option in the .proto file", name, id))
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	slices.Sort(wrong)
	return fmt.Errorf("message handlers: %s", strings.Join(wrong, "; "))
}

// PanicError is what Dispatch returns for a handler that panicked.
type PanicError struct {
	Value any
	Stack []byte
}

// Error tells the value without the stack, which is for the log alone.
func (e *PanicError) Error() string { return fmt.Sprintf("handler panicked: %v", e.Value) }

// Dispatch decodes body and runs the handler of message id. The error is a
// *PanicError if the handler panicked. The reply may be lent, and body in it:
// both are done with once the reply has been encoded and given to [Free].
func (m *Mux[F]) Dispatch(ctx context.Context, from F, id uint16, body []byte) (reply Message, err error) {
	h := m.find(id)
	if h == nil {
		return nil, fmt.Errorf("message ID %d: no handler", id)
	}
	defer Recover(&err)
	return h.call(ctx, from, body)
}

// Recover, deferred, turns a panic into a *PanicError.
func Recover(err *error) {
	if v := recover(); v != nil {
		*err = &PanicError{v, debug.Stack()}
	}
}
