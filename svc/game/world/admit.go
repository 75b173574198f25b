package world

import (
	"context"
	"errors"
	"log/slog"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/agent/agentapi"
	"github.com/davyxu/cellmesh_demo/svc/game/store"
	"github.com/davyxu/cellmesh_demo/svc/login/loginapi"
	"github.com/davyxu/cellmesh_demo/util/msgmux"
	"github.com/davyxu/cellmesh_demo/util/sqldb"
)

// verify makes a client a player, if its token says so.
func (w *World) verify(ctx context.Context, c *agentapi.Client, req *pb.VerifyREQ) (*pb.VerifyACK, error) {
	if c.Verified() {
		return nil, msgmux.Refuse(pb.ResultCode_AlreadyVerified, "this connection is %s already", c.Who().UID)
	}
	grant, err := w.tokens.Verify(ctx, req.GameToken, w.app.Self().ID)
	if err == nil {
		err = w.logins.Redeem(ctx, grant)
	}
	if err != nil {
		return nil, w.refuse(c, err)
	}
	who := agentapi.Identity{UID: grant.UID, Epoch: grant.Epoch, Features: req.Features}
	p := w.newPlayer(c, who)
	data, err := w.load(ctx, p) // from here on no earlier login can write
	if err != nil {
		if errors.Is(err, store.ErrNotOwner) {
			return nil, w.refuse(c, loginapi.ErrSuperseded)
		}
		code, reason, err := w.explain(p, err)
		return &pb.VerifyACK{Result: code, Reason: reason}, err
	}
	who.Name = data.Name
	if err := c.Bind(who); err != nil {
		return nil, err
	}
	w.enter(p)
	return &pb.VerifyACK{}, nil
}

// refuse tells the operator why a token does not let a client in, and makes
// what the client is told.
func (w *World) refuse(c *agentapi.Client, err error) error {
	if unsaid, ok := w.refusals.Say(); ok {
		level := slog.LevelInfo
		if errors.Is(err, sqldb.ErrUnavailable) {
			level = slog.LevelError
		}
		w.app.Log.Log(context.Background(), level, "token refused", "agent", c.Agent(), "err", err, "unsaid", unsaid)
	}
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			return msgmux.Refuse(r.code, "%s", r.reason)
		}
	}
	return err
}

// refusals are what a client is told, by error.
var refusals = []struct {
	err    error
	code   pb.ResultCode
	reason string
}{
	{sqldb.ErrUnavailable, pb.ResultCode_ServerBusy, "the database is away: try again later"},
	{loginapi.ErrOtherAudience, pb.ResultCode_GameNotFound, "the game that login chose is gone: log in again"},
	{loginapi.ErrExpired, pb.ResultCode_TokenExpired, "the token has expired: log in again"},
	{loginapi.ErrEarly, pb.ResultCode_TokenNotYetValid, "the token is not valid yet: try again in a moment"},
	{loginapi.ErrUsed, pb.ResultCode_TokenUsed, "the token was used already: log in again"},
	{loginapi.ErrSuperseded, pb.ResultCode_LoggedInElsewhere, "you have logged in again since"},
	{loginapi.ErrInvalid, pb.ResultCode_TokenInvalid, "this is no token of ours: log in again"},
}

// Opened takes over a player whose game went away: its agent, which we trust,
// says who it is.
func (w *World) Opened(ctx context.Context, c *agentapi.Client) error {
	p := w.newPlayer(c, c.Who())
	w.enter(p)
	data, err := w.load(ctx, p)
	if err != nil { // it is tried again when the data is needed
		_, _, err = w.explain(p, err)
		return err
	}
	w.tellName(p, data.Name)
	return nil
}

func (w *World) enter(p *Player) {
	if before, is := p.Client.Data.(*Player); is {
		w.players.remove(before)
	}
	w.players.add(p)
	p.Client.Data = p
	w.clients.LetIn(p.Client)
}

// Closed lets a player go. There is nothing to save: what was acknowledged is.
func (w *World) Closed(_ context.Context, c *agentapi.Client, _ string) {
	if p, is := c.Data.(*Player); is {
		w.players.remove(p)
		w.clients.LetOut(c)
	}
}
