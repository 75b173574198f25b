package gateway

import (
	"github.com/davyxu/cellmesh_demo/basefx/sanction"
	"github.com/davyxu/cellmesh_demo/proto/pb"
)

// bannedFor is the reason of a client whose player an operator has banned.
func bannedFor(ban sanction.Sanction) *closeReason {
	return &closeReason{pb.ResultCode_AccountLocked, "banned", ban.Reason()}
}

// banned ends the session of a player who is banned from now on.
func (g *Gateway) banned(s sanction.Sanction, _ bool) {
	if ban, is := g.bans.Banned(s.UID); is { // else it is a mute, or no longer in force
		if c := g.users.client(s.UID); c != nil {
			g.log.Info("client closed: banned", "uid", s.UID, "remote", c.session.RemoteAddr(), "reason", ban.Reason())
			c.session.Close(bannedFor(ban))
		}
	}
}
