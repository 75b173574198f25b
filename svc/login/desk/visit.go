package desk

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/util/cellnet"
	"github.com/davyxu/cellmesh_demo/util/msgmux"
)

// visit is one connection of a client.
type visit struct {
	desk     *Desk
	session  *cellnet.Session
	answered bool
}

var (
	errAnswered = errors.New("login: answered")
	errNoLogin  = errors.New("login: a message other than LoginREQ")
)

// Frame answers the one request. It may block: nobody else reads from this
// goroutine.
func (v *visit) Frame(b []byte) error {
	if v.answered {
		return nil // closing
	}
	if cellnet.MessageID(b) != pb.LoginREQID {
		return fmt.Errorf("%w: ID %d", errNoLogin, cellnet.MessageID(b))
	}
	var req pb.LoginREQ
	if err := req.Decode(b[2:]); err != nil {
		return fmt.Errorf("decode LoginREQ: %w", err)
	}
	v.answered = true
	ack, err := v.desk.login(&req, hostOf(v.session.RemoteAddr()))
	if err != nil {
		ack = v.refuse(&req, err)
	} else {
		v.desk.outcome("granted")
	}
	body, err := ack.AppendTo(nil)
	if err != nil {
		return fmt.Errorf("encode LoginACK: %w", err)
	}
	if err := v.session.SendMessage(pb.LoginACKID, body); err != nil {
		return err
	}
	v.session.Close(errAnswered)
	return nil
}

// refuse tells the operator why, without what proves who the client is, and
// makes the answer.
func (v *visit) refuse(req *pb.LoginREQ, err error) *pb.LoginACK {
	v.desk.outcome("refused")
	ack := &pb.LoginACK{Result: pb.ResultCode_InternalError, Reason: "the server failed"}
	level, no := v.desk.app.Log.Error, &msgmux.Refusal{}
	if errors.As(err, &no) {
		ack.Result, ack.Reason, level = pb.ResultCode(no.Code), no.Reason, v.desk.app.Log.Info
	}
	if unsaid, ok := v.desk.refusals.Say(); ok {
		level("login refused", "uid", clip(req.Uid), "platform", clip(req.Platform), "version", clip(req.Version), "action", req.Action,
			"remote", v.session.RemoteAddr(), "result", ack.Result, "reason", err, "unsaid", unsaid)
	}
	return ack
}

// clip makes sure that what a client says about itself does not fill the log.
func clip(s string) string {
	const most = 128
	return s[:min(len(s), most)]
}

// Batch has nothing to do: the answer was sent at once.
func (v *visit) Batch() {}

// Closed has nothing to give back.
func (v *visit) Closed(reason error) {
	if !v.answered {
		v.desk.outcome("ended")
		v.desk.app.Log.Debug("connection ended without a login", "remote", v.session.RemoteAddr(), "reason", reason)
	}
}

// hostOf is the address that a client's rate counts for: of IPv6 the /64.
func hostOf(addr net.Addr) netip.Addr {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	host := tcp.AddrPort().Addr().Unmap().WithZone("")
	if host.Is6() {
		if p, err := host.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return host
}
