package console

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/client/clientapi"
)

// retryEvery is how often the client tries again while servers start.
const retryEvery = 300 * time.Millisecond

// enter logs in and connects. Servers that are not up yet are waited for, and
// the person is told once for what.
func (c *Console) enter(ctx context.Context) (*clientapi.Conn, error) {
	wait, cancel := context.WithTimeout(ctx, c.wait)
	defer cancel()
	cfg, err := c.config()
	if err != nil {
		return nil, err
	}
	var last error
	for {
		conn, err := c.tryEnter(ctx, wait, cfg)
		switch {
		case err == nil:
			return conn, nil
		case ctx.Err() != nil || !comesUp(err):
			return nil, err
		case !errors.Is(err, context.DeadlineExceeded) || last == nil: // else wait is over, which says little
			last = err
		}
		if wait.Err() == nil {
			c.sayWaiting(last.Error())
		}
		select {
		case <-time.After(retryEvery):
		case <-wait.Done():
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, fmt.Errorf("gave up after %v: %w", c.wait, last)
		}
	}
}

// config is who the client says it is, and how.
func (c *Console) config() (*clientapi.Config, error) {
	cfg := &clientapi.Config{
		CommType: c.commType, Version: c.version, Platform: c.platform, UID: c.uid, Credential: c.secret,
		Features: uint32(pb.VerifyREQ_Reject | pb.VerifyREQ_Lines),
	}
	switch {
	case c.register:
		cfg.Action = pb.LoginREQ_Register
	case c.change:
		cfg.Action, cfg.NewCredential = pb.LoginREQ_ChangeCredential, c.next
	}
	var err error
	if c.tls {
		cfg.TLS, err = clientapi.TrustTLS(c.ca)
	}
	return cfg, err
}

// isDone reports whether err says that login has let us in, so that an account
// that was to be made or changed is, and something else is missing.
func isDone(err error) bool {
	var r *clientapi.Refused
	if !errors.As(err, &r) {
		return false
	}
	switch r.Code {
	case pb.ResultCode_AgentNotFound, pb.ResultCode_AgentAddressError, pb.ResultCode_GameNotFound:
		return true
	}
	return false
}

// done sees to it that an account is made or changed once only.
func done(cfg *clientapi.Config) {
	if cfg.Action == pb.LoginREQ_ChangeCredential {
		cfg.Credential = cfg.NewCredential
	}
	cfg.Action, cfg.NewCredential = pb.LoginREQ_LogIn, ""
}

// sayWaiting tells the person what is waited for, once.
func (c *Console) sayWaiting(why string) {
	if !c.said[why] {
		c.said[why] = true
		c.say("waiting: %s", why)
	}
}

// tryEnter tries once; finding login through memsd waits as long as wait lasts.
func (c *Console) tryEnter(ctx, wait context.Context, cfg *clientapi.Config) (*clientapi.Conn, error) {
	addr := c.login
	if addr == "" {
		var err error
		if addr, err = clientapi.FindLogin(wait, c.app, func(why error) { c.sayWaiting(why.Error()) }); err != nil {
			return nil, err
		}
	}
	grant, err := clientapi.Login(wait, addr, cfg)
	if err == nil || isDone(err) {
		done(cfg)
	}
	if err != nil {
		return nil, err
	}
	return clientapi.Connect(ctx, grant, cfg, c)
}

// comesUp reports whether err is one that waiting may mend.
func comesUp(err error) bool {
	var r *clientapi.Refused
	if errors.As(err, &r) {
		switch r.Code {
		case pb.ResultCode_AgentNotFound, pb.ResultCode_GameNotFound, pb.ResultCode_ServerBusy,
			pb.ResultCode_ServiceUnavailable, pb.ResultCode_ServiceBusy, pb.ResultCode_ShuttingDown:
			return true
		}
		return false
	}
	var untrusted *tls.CertificateVerificationError
	return !errors.As(err, &untrusted) // else not reachable
}
