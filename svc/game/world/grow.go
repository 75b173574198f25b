package world

import (
	"context"
	"errors"
	"time"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/game/growth"
	"github.com/davyxu/cellmesh_demo/svc/game/store"
	"github.com/davyxu/cellmesh_demo/util/sqldb"
)

// What the ledger calls the changes. They are stored: never rename one.
const (
	upgraded = "upgraded"
	claimed  = "claimed"
	renamed  = "renamed"
)

// player tells who one is.
func (w *World) player(ctx context.Context, p *Player, _ *pb.PlayerREQ) (*pb.PlayerACK, error) {
	is, err := w.load(ctx, p)
	if err != nil {
		code, reason, err := w.explain(p, err)
		return &pb.PlayerACK{Result: code, Reason: reason}, err
	}
	t := w.tables.Get()
	return &pb.PlayerACK{
		Uid: p.UID, Name: is.Name, Level: is.Level, Money: is.Money, Revision: is.Revision,
		NextPrice: t.Price(is.Player), Unclaimed: t.Earn(is.Player, time.Now()).Unclaimed,
	}, nil
}

// upgrade pays for the next level.
func (w *World) upgrade(ctx context.Context, p *Player, req *pb.UpgradeREQ) (*pb.UpgradeACK, error) {
	e, err := w.change(ctx, p, req.RequestId, upgraded, (*growth.Tables).Upgrade)
	if err != nil {
		code, reason, err := w.explain(p, err)
		return &pb.UpgradeACK{Result: code, Reason: reason, RequestId: req.RequestId}, err
	}
	return &pb.UpgradeACK{
		RequestId: e.RequestID, Level: e.After.Level, Money: e.After.Money, Paid: e.Before.Money - e.After.Money, Revision: e.Revision,
	}, nil
}

// claim pays out the income.
func (w *World) claim(ctx context.Context, p *Player, req *pb.ClaimREQ) (*pb.ClaimACK, error) {
	e, err := w.change(ctx, p, req.RequestId, claimed, (*growth.Tables).Claim)
	if err != nil {
		code, reason, err := w.explain(p, err)
		return &pb.ClaimACK{Result: code, Reason: reason, RequestId: req.RequestId}, err
	}
	return &pb.ClaimACK{
		RequestId: e.RequestID, Claimed: e.After.Money - e.Before.Money, Money: e.After.Money, Revision: e.Revision,
	}, nil
}

// rename gives another name.
func (w *World) rename(ctx context.Context, p *Player, req *pb.RenameREQ) (*pb.RenameACK, error) {
	e, err := w.change(ctx, p, req.RequestId, renamed, func(_ *growth.Tables, g growth.Player, _ time.Time) (growth.Player, error) {
		return growth.Rename(g, req.Name)
	})
	if err != nil {
		code, reason, err := w.explain(p, err)
		return &pb.RenameACK{Result: code, Reason: reason, RequestId: req.RequestId}, err
	}
	if is, err := w.load(ctx, p); err == nil { // not e's: the request may be an old one
		w.tellName(p, is.Name)
	}
	return &pb.RenameACK{RequestId: e.RequestID, Name: e.After.Name, Revision: e.Revision}, nil
}

// tellName tells everybody who knows the player the name it has, if that is news.
func (w *World) tellName(p *Player, name string) {
	if p.Client.Who().Name == name {
		return
	}
	if err := p.Client.SetName(name); err != nil { // its agent is gone, and the player with it
		w.app.Log.Debug("the player's name was not told", "uid", p.UID, "err", err)
	}
}

// refusalCodes are what a client is told about what the rules refuse.
var refusalCodes = map[growth.Why]pb.ResultCode{
	growth.TooPoor:       pb.ResultCode_NotEnoughMoney,
	growth.AtTop:         pb.ResultCode_HighestLevel,
	growth.NothingEarned: pb.ResultCode_NothingToClaim,
	growth.PurseFull:     pb.ResultCode_NothingToClaim,
	growth.BadName:       pb.ResultCode_NameRefused,
}

// explain is what the client is told about an error of load or change; an error
// that it cannot help is left. The operator is told what is wrong with the
// store.
func (w *World) explain(p *Player, err error) (code pb.ResultCode, reason string, left error) {
	var no *growth.Refusal
	switch {
	case errors.As(err, &no):
		code, known := refusalCodes[no.Why]
		if !known { // a newer program's
			code = pb.ResultCode_BadRequest
		}
		return code, no.Text, nil
	case errors.Is(err, store.ErrRequestID):
		return pb.ResultCode_RequestIDRefused, err.Error(), nil
	case errors.Is(err, store.ErrNotOwner):
		return pb.ResultCode_PlayedElsewhere, "another game has the player by now: send it again", nil
	case errors.Is(err, store.ErrBroken):
		w.sayFailure(p, err)
		return pb.ResultCode_PlayerBroken, "the data of player " + p.UID + " cannot be read: ask support", nil
	case errors.Is(err, sqldb.ErrUnavailable):
		w.sayFailure(p, err)
		return pb.ResultCode_ServerBusy, "the database is away: send it again later", nil
	}
	return 0, "", err
}

func (w *World) sayFailure(p *Player, err error) {
	if unsaid, ok := w.failures.Say(); ok {
		w.app.Log.Error("player's data not there", "uid", p.UID, "agent", p.Client.Agent(), "err", err, "unsaid", unsaid)
	}
}
