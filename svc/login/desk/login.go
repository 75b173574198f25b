package desk

import (
	"errors"
	"fmt"
	"hash/maphash"
	"math/bits"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/login/choice"
	"github.com/davyxu/cellmesh_demo/svc/login/identity"
	"github.com/davyxu/cellmesh_demo/svc/login/loginapi"
	"github.com/davyxu/cellmesh_demo/svc/login/platform"
	"github.com/davyxu/cellmesh_demo/util/discovery"
	"github.com/davyxu/cellmesh_demo/util/msgmux"
	"github.com/davyxu/cellmesh_demo/util/sqldb"
)

// account tells accounts apart for their rate.
type account struct{ platform, name string }

// hashAccount and hashAddr are cheaper than maphash.Comparable.
func hashAccount(seed maphash.Seed, a account) uint64 {
	return maphash.String(seed, a.platform) ^ bits.RotateLeft64(maphash.String(seed, a.name), 1)
}

func hashAddr(seed maphash.Seed, a netip.Addr) uint64 {
	b := a.As16()
	return maphash.Bytes(seed, b[:])
}

// login decides about one request. An error that is not of msgmux.Refuse is the
// server's fault.
func (d *Desk) login(req *pb.LoginREQ, remote netip.Addr) (*pb.LoginACK, error) {
	if !d.perAddr.Allow(remote) {
		return nil, msgmux.Refuse(pb.ResultCode_RateLimited, "too many logins from your address: try again later")
	}
	to := choice.Request{Version: req.Version}
	if rule := d.versions.Get().Find(req.Version); rule != nil {
		if rule.Refuse != "" {
			return nil, msgmux.Refuse(pb.ResultCode_VersionRefused, "%s", rule.Refuse)
		}
		to.Group = rule.Group
	}
	uid, err := d.identify(req, remote)
	if err != nil {
		return nil, err
	}
	if ban, is := d.sanctions.Banned(uid); is {
		return nil, msgmux.Refuse(pb.ResultCode_AccountLocked, "%s", ban.Reason())
	}
	server, game, err := d.send(to)
	if err != nil {
		return nil, err
	}
	epoch, tokenID, err := d.logins.Raise(d.life, uid) // the database has bounds of its own
	if err != nil {
		return nil, d.databaseFailed(err)
	}
	now := time.Now()
	token, err := d.signer.Sign(loginapi.Grant{UID: uid, Epoch: epoch, GameID: game, ID: tokenID, Expires: now.Add(d.tokenLife)}, now)
	if err != nil {
		return nil, err
	}
	return &pb.LoginACK{Server: server, GameToken: token, GameSvcId: game}, nil
}

// identify finds out who the client is.
func (d *Desk) identify(req *pb.LoginREQ, remote netip.Addr) (uid string, err error) {
	guard := d.platforms.byID[req.Platform]
	if guard == nil {
		return "", msgmux.Refuse(pb.ResultCode_PlatformUnknown, "platform %q is not switched on here; there is %s", clip(req.Platform), d.platforms.list())
	}
	tooOften := msgmux.Refuse(pb.ResultCode_RateLimited, "too many logins of this account: try again later")
	if req.Uid != "" && !d.perAccount.Allow(account{req.Platform, req.Uid}) {
		return "", tooOften
	}
	if req.Action == pb.LoginREQ_Register && !d.perMaker.Allow(remote) {
		return "", msgmux.Refuse(pb.ResultCode_TooManyAccounts, "too many accounts were asked for from your address: try again later")
	}
	who, err := guard.Check(d.life, req.Action, platform.Credential{
		Account: req.Uid, Secret: platform.Secret(req.Credential), NewSecret: platform.Secret(req.NewCredential),
		Remote: remote.String(), Version: req.Version,
	})
	switch {
	case errors.Is(err, platform.ErrFailed):
		d.failed(req.Platform, err)
		return "", msgmux.Refuse(pb.ResultCode_PlatformFailed, "%s does not answer: try again later", req.Platform)
	case err != nil:
		return "", err
	case who.Subject != req.Uid && !d.perAccount.Allow(account{req.Platform, who.Subject}):
		return "", tooOften
	}
	if uid, err = d.uids.UID(d.life, identity.Account{Platform: req.Platform, Subject: who.Subject}, who.Name); err != nil {
		return "", d.databaseFailed(err)
	}
	return uid, nil
}

// databaseFailed is what the client is told; what has happened is for the
// operator.
func (d *Desk) databaseFailed(err error) error {
	if !errors.Is(err, sqldb.ErrUnavailable) {
		return err
	}
	if unsaid, ok := d.failures.Say(); ok {
		d.app.Log.Error("database failed", "err", err, "unsaid", unsaid)
	}
	return msgmux.Refuse(pb.ResultCode_ServerBusy, "the database is away: try again later")
}

// failed tells the operator what is wrong with a platform.
func (d *Desk) failed(name string, err error) {
	if unsaid, ok := d.failures.Say(); ok {
		args := []any{"platform", name, "err", err, "unsaid", unsaid}
		var panicked *msgmux.PanicError
		if errors.As(err, &panicked) {
			args = append(args, "stack", string(panicked.Stack))
		}
		d.app.Log.Error("platform failed", args...)
	}
}

// send chooses where the client goes.
func (d *Desk) send(to choice.Request) (server *pb.LoginACK_Server, game string, err error) {
	a := d.choose.Choose("agent", to, func(s *discovery.Service) bool { return s.Meta[discovery.MetaWAN] != "" })
	if a == nil {
		return nil, "", msgmux.Refuse(pb.ResultCode_AgentNotFound, "no agent is up that clients can reach%s", inGroup(to))
	}
	g := d.choose.Choose("game", to, func(*discovery.Service) bool { return true })
	if g == nil {
		return nil, "", msgmux.Refuse(pb.ResultCode_GameNotFound, "no game is up%s", inGroup(to))
	}
	wan := a.Meta[discovery.MetaWAN]
	host, portText, err := net.SplitHostPort(wan)
	port, perr := strconv.Atoi(portText)
	if err != nil || perr != nil {
		return nil, "", msgmux.Refuse(pb.ResultCode_AgentAddressError, "%s announces the address %q", a.ID, wan)
	}
	return &pb.LoginACK_Server{Ip: host, Port: int32(port)}, g.ID, nil
}

func inGroup(to choice.Request) string {
	if to.Group == "" {
		return ""
	}
	return fmt.Sprintf(" in group %s, for version %q", to.Group, clip(to.Version))
}
