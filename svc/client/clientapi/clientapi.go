// Package clientapi is the client's side of the client protocol: log in, verify,
// send, receive. svc/client uses it for a person; robots use it by the thousand.
//
// [FindLogin] finds login through memsd (find.go). [Login] asks login and ends that
// connection; [Connect] takes the grant to the agent and verifies. clientapi.go is
// all of it but the heartbeats that many clients share (beats.go) and whom a client
// trusts with TLS (tls.go).
package clientapi

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/util/cellnet"
)

// heartbeatEvery is how often a client says that it is there, whatever else it
// says.
const heartbeatEvery = 5 * time.Second

// Refused is the server's "no".
type Refused struct {
	What   string // "login", "verify"
	Code   pb.ResultCode
	Reason string // for people; may be empty
}

// Error tells what was refused and why.
func (r *Refused) Error() string {
	if r.Reason == "" {
		return fmt.Sprintf("%s refused: %v", r.What, r.Code)
	}
	return fmt.Sprintf("%s refused: %s (%v)", r.What, r.Reason, r.Code)
}

// Config is how a client connects and who it says it is.
type Config struct {
	CommType   string // "tcp" or "ws"
	Version    string // of the client
	Platform   string // who vouches for it
	UID        string
	Credential string
	Features   uint32 // sum of pb.Feature values that Handler understands

	// Action makes or changes the account first, on a platform that can;
	// NewCredential is for changing. AgentNotFound and GameNotFound mean that
	// this was done.
	Action        pb.LoginREQ_Action
	NewCredential string

	// TLS is how login and agent prove who they are (see TrustTLS); nil: they
	// need not, and nothing is encrypted.
	TLS *tls.Config

	// Timeout bounds each of connecting, logging in and verifying; 0 leaves
	// them to their context.
	Timeout time.Duration

	Session *cellnet.Config // shared by many clients if there are many; nil for the default
	Beats   *Beats          // sends the heartbeats of many clients; nil: each has a timer
}

func (c *Config) session() *cellnet.Config {
	s := c.Session
	if s == nil {
		s = &cellnet.Config{Framing: cellnet.ClientFraming}
	}
	if c.TLS != nil {
		secure := *s
		secure.TLS = c.TLS
		s = &secure
	}
	return s
}

// limited is ctx within Timeout.
func (c *Config) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.Timeout > 0 {
		return context.WithTimeoutCause(ctx, c.Timeout, noAnswer{c.Timeout})
	}
	return context.WithCancel(ctx)
}

// noAnswer is why something has ended that took longer than Config.Timeout.
type noAnswer struct{ within time.Duration }

func (e noAnswer) Error() string { return fmt.Sprintf("no answer within %v", e.within) }

// Is says that it is a deadline that has passed.
func (noAnswer) Is(target error) bool { return target == context.DeadlineExceeded }

func (c *Config) dial(ctx context.Context, addr string) (*cellnet.Session, error) {
	secure := c.TLS != nil
	switch {
	case c.CommType == "tcp" && secure:
		return cellnet.Dial(ctx, "tls://"+addr, c.session())
	case c.CommType == "tcp":
		return cellnet.Dial(ctx, "tcp://"+addr, c.session())
	case c.CommType == "ws" && secure:
		return cellnet.Dial(ctx, "wss://"+addr+"/", c.session())
	case c.CommType == "ws":
		return cellnet.Dial(ctx, "ws://"+addr+"/", c.session())
	}
	return nil, fmt.Errorf("communication type %q is not tcp or ws", c.CommType)
}

// Grant is what login gives: where to go, and what to show there.
type Grant struct {
	Agent  string // host:port
	Token  string
	GameID string
}

// Login logs in at login's address. The error is a *Refused if login said no.
func Login(ctx context.Context, addr string, cfg *Config) (Grant, error) {
	ctx, cancel := cfg.limited(ctx)
	defer cancel()
	s, err := cfg.dial(ctx, addr)
	if err != nil {
		return Grant{}, fmt.Errorf("login: %w", err)
	}
	v := &loginVisit{}
	err = send(s, &pb.LoginREQ{
		Version: cfg.Version, Platform: cfg.Platform, Uid: cfg.UID, Credential: cfg.Credential,
		Action: cfg.Action, NewCredential: cfg.NewCredential,
	})
	if err != nil {
		s.Abort(err)
	}
	if err := s.Run(ctx, v); !errors.Is(err, errAnswered) {
		return Grant{}, fmt.Errorf("login at %s: %w", addr, ended(ctx, err))
	}
	if v.ack.Result != pb.ResultCode_NoError {
		return Grant{}, &Refused{"login", v.ack.Result, v.ack.Reason}
	}
	return Grant{
		Agent:  net.JoinHostPort(v.ack.Server.GetIp(), strconv.Itoa(int(v.ack.Server.GetPort()))),
		Token:  v.ack.GameToken,
		GameID: v.ack.GameSvcId,
	}, nil
}

var errAnswered = errors.New("answered")

// errServerClosed is io.EOF in words.
var errServerClosed error = serverClosed{}

type serverClosed struct{}

func (serverClosed) Error() string        { return "the server closed the connection" }
func (serverClosed) Is(target error) bool { return target == io.EOF }

// ended puts the end of a connection into words.
func ended(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, io.EOF):
		return errServerClosed
	}
	return err
}

type loginVisit struct{ ack pb.LoginACK }

func (v *loginVisit) Frame(b []byte) error {
	if id := cellnet.MessageID(b); id != pb.LoginACKID {
		return fmt.Errorf("message ID %d instead of LoginACK", id)
	}
	if err := proto.Unmarshal(b[2:], &v.ack); err != nil {
		return fmt.Errorf("decode LoginACK: %w", err)
	}
	return errAnswered
}

func (v *loginVisit) Batch()       {}
func (v *loginVisit) Closed(error) {}

// Handler is told what the server sends after the client was verified. It runs
// on the connection's own goroutine; body is valid until it returns; an error
// closes the connection. Batch follows when all that had arrived was handed
// over.
type Handler interface {
	Message(id uint16, body []byte) error
	Batch()
}

// Closer is a Handler that wants to hear of the end: after the last Message,
// before Done, on the same goroutine, and only of a connection that was
// verified. It must not call Close.
type Closer interface {
	Closed(err error)
}

// Conn is a verified connection to an agent.
type Conn struct {
	session *cellnet.Session
	handler Handler
	beat    *time.Timer // nil: Config.Beats beats

	verified atomic.Bool
	answer   chan *pb.VerifyACK // capacity 1
	done     chan struct{}      // closed after err is set
	err      error
}

// Connect connects to the granted agent, verifies, and serves the connection
// until it ends or ctx is done. The error is a *Refused if the game said no.
func Connect(ctx context.Context, g Grant, cfg *Config, h Handler) (*Conn, error) {
	enter, cancel := cfg.limited(ctx)
	defer cancel()
	s, err := cfg.dial(enter, g.Agent)
	if err != nil {
		return nil, fmt.Errorf("agent: %w", err)
	}
	c := &Conn{session: s, handler: h, answer: make(chan *pb.VerifyACK, 1), done: make(chan struct{})}
	if cfg.Beats == nil {
		c.beat = time.AfterFunc(heartbeatEvery, c.heartbeat)
	}
	go c.serve(ctx) // ends with the session; Done tells
	if err := c.Send(&pb.VerifyREQ{GameToken: g.Token, GameSvcId: g.GameID, Features: cfg.Features}); err != nil {
		c.Close()
		return nil, fmt.Errorf("agent %s: %w", g.Agent, err)
	}
	select {
	case ack := <-c.answer:
		if ack.Result != pb.ResultCode_NoError {
			c.Close()
			return nil, &Refused{"verify", ack.Result, ack.Reason}
		}
		if cfg.Beats != nil {
			cfg.Beats.add(s)
		}
		return c, nil
	case <-enter.Done():
		s.Abort(context.Cause(enter))
		<-c.done
		return nil, fmt.Errorf("agent %s: %w", g.Agent, context.Cause(enter))
	case <-c.done:
		select {
		case ack := <-c.answer: // the server's last word
			if ack.Result != pb.ResultCode_NoError {
				return nil, &Refused{"verify", ack.Result, ack.Reason}
			}
		default:
		}
		return nil, fmt.Errorf("agent %s: %w", g.Agent, c.err)
	}
}

// serve is the connection's goroutine.
func (c *Conn) serve(ctx context.Context) {
	c.err = ended(ctx, c.session.Run(ctx, (*connHandler)(c)))
	if c.beat != nil {
		c.beat.Stop()
	}
	if h, ok := c.handler.(Closer); ok && c.verified.Load() {
		h.Closed(c.err)
	}
	close(c.done)
}

// heartbeat says that the client is there.
func (c *Conn) heartbeat() {
	if c.session.SendMessage(pb.PingACKID, nil) == nil {
		c.beat.Reset(heartbeatEvery)
	}
}

// Send sends one message.
func (c *Conn) Send(m pb.Message) error { return send(c.session, m) }

// Session is the connection below, for those who encode by themselves.
func (c *Conn) Session() *cellnet.Session { return c.session }

// Done is closed when the connection has ended; Err then tells why.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err is why the connection ended. Only after Done.
func (c *Conn) Err() error { return c.err }

// Close ends the connection, after what was sent has been written, and waits
// for its end.
func (c *Conn) Close() {
	c.session.Close(nil)
	<-c.done
}

// connHandler is Conn as its session sees it.
type connHandler Conn

func (c *connHandler) Frame(b []byte) error {
	id := cellnet.MessageID(b)
	switch {
	case id == pb.PingACKID:
		return nil
	case c.verified.Load():
		return c.handler.Message(id, b[2:])
	case id == pb.RejectACKID:
		var no pb.RejectACK
		if err := proto.Unmarshal(b[2:], &no); err != nil {
			return fmt.Errorf("decode RejectACK: %w", err)
		}
		if no.MsgId == 0 || no.MsgId == uint32(pb.VerifyREQID) { // the agent cannot let us in, or closes
			c.answered(&pb.VerifyACK{Result: no.Code, Reason: no.Reason})
		}
		return nil
	case id != pb.VerifyACKID:
		return nil // pushed to everybody, before we were told that we are in
	}
	var ack pb.VerifyACK
	if err := proto.Unmarshal(b[2:], &ack); err != nil {
		return fmt.Errorf("decode VerifyACK: %w", err)
	}
	c.verified.Store(ack.Result == pb.ResultCode_NoError)
	c.answered(&ack)
	return nil
}

// answered passes on the answer to VerifyREQ.
func (c *connHandler) answered(ack *pb.VerifyACK) {
	select {
	case c.answer <- ack:
	default: // a second answer
	}
}

func (c *connHandler) Batch() {
	if c.verified.Load() {
		c.handler.Batch()
	}
}

func (c *connHandler) Closed(error) {}

func send(s *cellnet.Session, m pb.Message) error {
	body, err := proto.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode %s: %w", pb.MessageName(m.MsgID()), err)
	}
	return s.SendMessage(m.MsgID(), body)
}
