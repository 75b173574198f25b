package agentapi

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/util/mailbox"
)

// Identity is who a client is, once somebody has verified it.
type Identity struct {
	UID      string
	Epoch    uint64 // of this login of the uid: of two the higher one is right
	Features uint32 // sum of pb.VerifyREQ_Feature values: what the client understands beyond the old messages
	Name     string // the player's, at most MaxName bytes; "" before somebody has said it
}

// Client is one client connection of one agent, as this backend knows it. Its
// methods may be called from any goroutine, but for Bind.
type Client struct {
	// Data is the backend's own, for instance its player. It belongs to the
	// handler: touch it only in Handler's methods.
	Data any

	srv     *Server
	link    *link.Link // to the agent that owns the connection
	id      uint64     // the agent's number for it
	who     atomic.Pointer[Identity]
	waiting atomic.Int64 // bytes of messages in box
	box     mailbox.Mailbox[item]

	joining sync.Mutex // of Join and Leave; before that of the link
	groups  []string   // under joining
}

// Who is the client's identity; the zero Identity before it is verified.
func (c *Client) Who() Identity {
	if who := c.who.Load(); who != nil {
		return *who
	}
	return Identity{}
}

// Verified reports whether the client has an identity.
func (c *Client) Verified() bool { return c.who.Load() != nil }

// Agent is the svcid of the agent that owns the connection.
func (c *Client) Agent() string { return c.link.ID }

// Bind tells the agent who the client is, and that messages for this service
// come here from now on. What is sent to the client afterwards arrives after
// that. Only for handlers of the client's own messages: it leaves together with
// the reply.
func (c *Client) Bind(who Identity) error {
	if err := checkName(who.Name); err != nil {
		return fmt.Errorf("bind client: %w", err)
	}
	m := &pb.BindBackendACK{Uid: who.UID, Epoch: who.Epoch, Features: who.Features, Name: who.Name}
	body, err := proto.Marshal(m)
	if err != nil {
		return fmt.Errorf("bind client: %w", err)
	}
	if _, err := c.link.Append(link.Control, c.id, m.MsgID(), body); err != nil {
		return fmt.Errorf("bind client at %s: %w", c.link.ID, err)
	}
	c.who.Store(&who)
	return nil
}

// Send sends m to the client. An error means that the agent is gone, or does
// not keep up; the client then misses m, and it has been counted. Or that m
// cannot be encoded.
func (c *Client) Send(m pb.Message) error {
	if err := c.appendNow(m); err != nil {
		return err
	}
	c.link.Flush()
	return nil
}

// errLost is part of an error that the Server has counted.
var errLost = errors.New("message to a client lost")

// appendNow is Send without the flush.
func (c *Client) appendNow(m pb.Message) (err error) {
	buf := c.srv.getBuf()
	defer c.srv.putBuf(buf)
	return c.append(m, buf)
}

// append appends m to what the link is about to write. buf is room to encode it
// in, and may be exchanged.
func (c *Client) append(m pb.Message, buf *[]byte) (err error) {
	if *buf, err = marshalAppend((*buf)[:0], m); err != nil {
		return err
	}
	if _, err = c.link.Append(link.ToClient, c.id, m.MsgID(), *buf); err != nil {
		c.srv.lost.Add(1)
		return fmt.Errorf("%w: to %s: %w", errLost, c.link.ID, err)
	}
	return nil
}

// Do runs f in the client's turn: after what waits already, never beside one of
// its handlers. It is for timers, and for what others cause. It returns at once;
// an error means that f will not run, because the client is gone or lets too
// much wait.
func (c *Client) Do(f func(context.Context)) error {
	return c.box.Post(item{kind: call, do: f})
}

// Kick has the agent tell the client why, if it can understand, and close its
// connection.
func (c *Client) Kick(code pb.ResultCode, reason string) error {
	return c.control(&pb.ClientKick{Code: code, Reason: reason})
}

// control sends a control message about the client, now.
func (c *Client) control(m pb.Message) error {
	err := c.link.Send(c.id, m)
	c.link.Flush() // Send may have left it to somebody whose next handler blocks
	return err
}

// reject tells the client that message id was not handled, if it understands.
// The caller flushes.
func (c *Client) reject(id uint16, code pb.ResultCode, reason string) {
	if who := c.who.Load(); who == nil || who.Features&uint32(pb.VerifyREQ_Reject) == 0 {
		return
	}
	c.appendNow(&pb.RejectACK{MsgId: uint32(id), Code: code, Reason: reason}) // counted if lost
}
