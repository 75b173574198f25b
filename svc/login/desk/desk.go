// Package desk is the login service: a client asks once, is told who it is and
// where to go, and the connection ends. desk.go is the program and the one
// request it answers, choose.go how agent and game are chosen.
package desk

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/basefx/database"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/hub/hubapi"
	"github.com/davyxu/cellmesh_demo/svc/login/loginapi"
	"github.com/davyxu/cellmesh_demo/util/cellnet"
	"github.com/davyxu/cellmesh_demo/util/discovery"
	"github.com/davyxu/cellmesh_demo/util/rarely"
)

// maxUID is the longest uid in bytes.
const maxUID = 128

// maxRequest is the largest request in bytes.
const maxRequest = 32 << 10

// Desk is the login service.
type Desk struct {
	tokenLife time.Duration
	keyLife   time.Duration
	database  database.Flags
	patience  time.Duration // with a connection whose one request does not come
	port      basefx.ClientPort

	ctx    context.Context // of the process
	app    *basefx.App
	signer *loginapi.Signer
	logins *loginapi.Sessions
	choose *chooser

	session  cellnet.Config
	sessions cellnet.Counters
	outcome  func(string) // counts
	refusals *rarely.Log
}

// New makes the login service and adds its flags.
func New(fs *flag.FlagSet) basefx.Service {
	d := &Desk{}
	d.port.Register(fs)
	fs.DurationVar(&d.tokenLife, "tokenlife", 5*time.Minute, "how long a token is good for")
	fs.DurationVar(&d.keyLife, "keyrotation", 24*time.Hour, "how often the key that signs tokens is changed")
	d.database.Register(fs)
	fs.DurationVar(&d.patience, "logintimeout", 10*time.Second, "how long a connection may take to log in")
	return d
}

// Start wires the login service.
func (d *Desk) Start(ctx context.Context, app *basefx.App) (err error) {
	if d.tokenLife < time.Second || d.tokenLife > loginapi.MaxTokenLife {
		return fmt.Errorf("-tokenlife=%v: from 1s to %v", d.tokenLife, loginapi.MaxTokenLife)
	}
	if d.keyLife < time.Minute {
		return fmt.Errorf("-keyrotation=%v: must be at least 1m", d.keyLife)
	}
	if d.patience <= 0 {
		return fmt.Errorf("-logintimeout=%v: must be more than 0", d.patience)
	}
	d.app, d.ctx = app, ctx
	d.refusals = rarely.New()
	if d.signer, err = loginapi.NewSigner(); err != nil {
		return err
	}
	app.Go("token key", func(ctx context.Context) error { return d.signer.Keep(ctx, app.Registry, d.keyLife, app.Log) })
	db, err := database.Open(app, &d.database, loginapi.SessionTables())
	if err != nil {
		return err
	}
	d.logins = loginapi.NewSessions(db)
	app.Need("memsd", func(snap *discovery.Snapshot) string {
		if !d.signer.Published(snap) {
			return "the key for tokens is not stored yet"
		}
		return ""
	})
	for _, name := range []string{"agent", "game"} {
		app.NeedService(name)
	}
	hub := hubapi.Join(app)
	hub.WatchStatus()
	hub.ReportStatus(func() *pb.ServiceStatus { return &pb.ServiceStatus{} })
	d.choose = newChooser(app.Registry, app.Allows, hub.Status)

	d.outcome = app.CounterBy("logins_total", "Connections to login by outcome: granted, refused, or ended without a request.", "outcome")
	d.session = cellnet.Config{Framing: cellnet.ClientFraming, MaxFrame: maxRequest, Counters: &d.sessions}
	return app.ServeClients(&d.port, &cellnet.Acceptor{
		Config: &d.session, WebSocket: true, HandshakeTimeout: d.patience,
		Open: func(s *cellnet.Session) (cellnet.Handler, error) {
			s.SetReadDeadline(time.Now().Add(d.patience))
			return &visit{desk: d, session: s}, nil
		},
	})
}

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

// Frame answers the one request.
func (v *visit) Frame(b []byte) error {
	if v.answered {
		return nil // closing
	}
	if cellnet.MessageID(b) != pb.LoginREQID {
		return fmt.Errorf("%w: ID %d", errNoLogin, cellnet.MessageID(b))
	}
	var req pb.LoginREQ
	if err := proto.Unmarshal(b[2:], &req); err != nil {
		return fmt.Errorf("decode LoginREQ: %w", err)
	}
	ack := v.desk.login(&req)
	if ack.Result == pb.ResultCode_NoError {
		v.desk.outcome("granted")
	} else {
		v.desk.outcome("refused")
		v.refused(&req, ack)
	}
	body, err := proto.Marshal(ack)
	if err != nil {
		return fmt.Errorf("encode LoginACK: %w", err)
	}
	v.answered = true
	if err := v.session.SendMessage(pb.LoginACKID, body); err != nil {
		return err
	}
	v.session.Close(errAnswered)
	return nil
}

// refused tells the operator, without what proves who the client is.
func (v *visit) refused(req *pb.LoginREQ, ack *pb.LoginACK) {
	if unsaid, ok := v.desk.refusals.Say(); ok {
		v.desk.app.Log.Info("login refused", "uid", clip(req.Uid), "platform", clip(req.Platform), "remote", v.session.RemoteAddr(),
			"result", ack.Result, "reason", ack.Reason, "unsaid", unsaid)
	}
}

// clip makes sure that what a client says about itself does not fill the log.
func clip(s string) string { return s[:min(len(s), maxUID)] }

// Batch has nothing to do: the answer was sent at once.
func (v *visit) Batch() {}

// Closed has nothing to give back.
func (v *visit) Closed(reason error) {
	if !v.answered {
		v.desk.outcome("ended")
		v.desk.app.Log.Debug("connection ended without a login", "remote", v.session.RemoteAddr(), "reason", reason)
	}
}

// login decides about one request.
func (d *Desk) login(req *pb.LoginREQ) *pb.LoginACK {
	deny := func(code pb.ResultCode, format string, args ...any) *pb.LoginACK {
		return &pb.LoginACK{Result: code, Reason: fmt.Sprintf(format, args...)}
	}
	switch {
	case req.Platform != "demo":
		return deny(pb.ResultCode_PlatformUnknown, "platform %q is not switched on here; demo is", clip(req.Platform))
	case req.Uid == "" || len(req.Uid) > maxUID:
		return deny(pb.ResultCode_CredentialInvalid, "a uid has 1 to %d bytes", maxUID)
	}
	agent, wan, code := d.choose.agent()
	if code != pb.ResultCode_NoError {
		return deny(code, "no agent is up that clients can reach")
	}
	game, code := d.choose.game()
	if code != pb.ResultCode_NoError {
		return deny(code, "no game is up")
	}
	host, portText, err := net.SplitHostPort(wan)
	port, perr := strconv.Atoi(portText)
	if err != nil || perr != nil {
		return deny(pb.ResultCode_AgentAddressError, "%s announces the address %q", agent, wan)
	}
	epoch, tokenID, err := d.logins.Raise(d.ctx, req.Uid)
	if err != nil {
		if unsaid, ok := d.refusals.Say(); ok {
			d.app.Log.Error("login not counted", "uid", clip(req.Uid), "err", err, "unsaid", unsaid)
		}
		return deny(pb.ResultCode_ServerBusy, "the database is away: try again later")
	}
	now := time.Now()
	token, err := d.signer.Sign(loginapi.Grant{
		UID:     req.Uid,
		Epoch:   epoch,
		GameID:  game,
		ID:      tokenID,
		Expires: now.Add(d.tokenLife),
	}, now)
	if err != nil {
		d.app.Log.Error("login failed", "uid", req.Uid, "err", err)
		return deny(pb.ResultCode_InternalError, "the server failed")
	}
	return &pb.LoginACK{Server: &pb.LoginACK_Server{Ip: host, Port: int32(port)}, GameToken: token, GameSvcId: game}
}
