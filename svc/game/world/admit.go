package world

import (
	"context"
	"errors"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/agent/agentapi"
	"github.com/davyxu/cellmesh_demo/svc/login/loginapi"
	"github.com/davyxu/cellmesh_demo/util/msgmux"
)

// verify makes a client a player, if its token says so.
func (w *World) verify(ctx context.Context, c *agentapi.Client, req *pb.VerifyREQ) (*pb.VerifyACK, error) {
	if c.Verified() {
		return nil, msgmux.Refuse(pb.ResultCode_AlreadyVerified, "this connection is %s already", c.Who().UID)
	}
	grant, err := w.tokens.Verify(ctx, req.GameToken, w.app.Self().ID)
	if err != nil {
		if unsaid, ok := w.refusals.Say(); ok {
			w.app.Log.Info("token refused", "agent", c.Agent(), "err", err, "unsaid", unsaid)
		}
		switch {
		case errors.Is(err, loginapi.ErrOtherAudience):
			return nil, msgmux.Refuse(pb.ResultCode_GameNotFound, "the game that login chose is gone: log in again")
		case errors.Is(err, loginapi.ErrExpired):
			return nil, msgmux.Refuse(pb.ResultCode_TokenExpired, "the token has expired: log in again")
		}
		return nil, msgmux.Refuse(pb.ResultCode_TokenInvalid, "this is no token of ours: log in again")
	}
	who := agentapi.Identity{UID: grant.UID, Epoch: grant.Epoch, Features: req.Features}
	if err := c.Bind(who); err != nil {
		return nil, err
	}
	w.enter(c)
	return &pb.VerifyACK{}, nil
}

// Opened takes over a player whose game went away: its agent, which we trust,
// says who it is.
func (w *World) Opened(_ context.Context, c *agentapi.Client) error {
	w.enter(c)
	return nil
}

func (w *World) enter(c *agentapi.Client) {
	if _, is := c.Data.(*Player); !is {
		w.players.Add(1)
	}
	who := c.Who()
	c.Data = &Player{UID: who.UID, Epoch: who.Epoch, Client: c}
}

// Closed lets a player go.
func (w *World) Closed(_ context.Context, c *agentapi.Client, _ string) {
	if _, is := c.Data.(*Player); is {
		w.players.Add(-1)
	}
}
