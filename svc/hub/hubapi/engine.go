package hubapi

import (
	"context"
	"errors"

	"github.com/davyxu/cellmesh_demo/proto/pb"
)

// Errors of Publish, besides those about the message itself.
var (
	ErrFull   = errors.New("hubapi: the hub does not keep up: too much waits for it")
	ErrClosed = errors.New("hubapi: closed")
)

// MaxMessage is the largest message in bytes, encoded.
const MaxMessage = 1 << 20

// Engine carries messages between processes; everything else is built on it.
// There are two: the hubs of this cluster (hubs.go), and one in memory for tests
// (memory.go). Package contract has the tests that each must pass.
//
// A message is a pb.HubPublish. Its Channel has been checked; From is the
// engine's to fill in. Any goroutine may call an engine at any time, but for
// Notify.
type Engine interface {
	// Notify sets what the engine tells, once, before all other calls.
	Notify(Events)

	// Publish sends p to all who have subscribed to its channel, each once, this
	// process too. It keeps nothing of p, and never blocks. Messages of one
	// process on one channel arrive in order. What cannot be sent yet waits in a
	// bounded queue, which loses its oldest.
	//
	// An answer goes back via where its request came from; else via is nil.
	Publish(p *pb.HubPublish, via Via) error

	// Subscribe has deliver called with what is published on a channel that
	// pattern matches, until cancel is called. Calls come one after the other for
	// each way that messages come, but there may be several. p and what is in it
	// are good only until deliver returns, which must not block.
	Subscribe(pattern string, deliver func(p *pb.HubPublish, via Via)) (cancel func())

	// Flush returns when all that was published and subscribed to before is with
	// whoever passes it on: subscriptions are in force.
	Flush(ctx context.Context) error

	// Up reports whether messages can be sent just now.
	Up() bool
}

// Via is a way by which a message came: its engine's own business.
type Via any

// Events are what an engine tells. They must not block.
type Events struct {
	// Up: messages can be sent, after they could not be.
	Up func()
	// Missed: about n messages are missing in what is delivered, here; 0: some may
	// be, but nobody knows.
	Missed func(n uint64)
	// Dropped: a message that waited was lost.
	Dropped func()
}
