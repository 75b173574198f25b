// Package desk is the login service: a client asks once, is told who it is and
// where to go, and the connection ends.
//
// Open desk.go first: the program and its flags. visit.go is one connection,
// login.go how a request is decided, platforms.go who vouches for clients. The
// parts are packages beside this one: platform and those below it, identity,
// choice, limits.
package desk

import (
	"context"
	"flag"
	"fmt"
	"hash/maphash"
	"net/netip"
	"strings"
	"time"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/basefx/database"
	"github.com/davyxu/cellmesh_demo/basefx/sanction"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/hub/hubapi"
	"github.com/davyxu/cellmesh_demo/svc/login/choice"
	"github.com/davyxu/cellmesh_demo/svc/login/identity"
	"github.com/davyxu/cellmesh_demo/svc/login/limits"
	"github.com/davyxu/cellmesh_demo/svc/login/loginapi"
	"github.com/davyxu/cellmesh_demo/util/cellnet"
	"github.com/davyxu/cellmesh_demo/util/discovery"
	"github.com/davyxu/cellmesh_demo/util/rarely"
)

// maxRequest is the largest request in bytes.
const maxRequest = 32 << 10

// maxKnown is how many addresses, and how many accounts, have a rate at a time.
const maxKnown = 200_000

// Desk is the login service.
type Desk struct {
	tokenLife   time.Duration
	rotate      time.Duration // the key for tokens, so often
	patience    time.Duration // with a connection whose one request does not come
	addrRate    float64
	accountRate float64
	newRate     float64 // accounts made, a minute
	prefer      string
	port        basefx.ClientPort
	platforms   platforms
	database    database.Flags

	app        *basefx.App
	life       context.Context
	signer     *loginapi.Signer
	logins     *loginapi.Sessions
	uids       *identity.Store
	sanctions  *sanction.Sanctions
	choose     *choice.Chooser
	versions   *discovery.Config[choice.Versions]
	perAddr    *limits.Table[netip.Addr]
	perAccount *limits.Table[account]
	perMaker   *limits.Table[netip.Addr] // of accounts

	session  cellnet.Config
	sessions cellnet.Counters
	outcome  func(string) // counts
	refusals *rarely.Log
	failures *rarely.Log
}

// New makes the login service and adds its flags.
func New(fs *flag.FlagSet) basefx.Service {
	d := &Desk{}
	d.port.Register(fs)
	d.platforms.register(fs)
	d.database.Register(fs)
	fs.DurationVar(&d.tokenLife, "tokenlife", 5*time.Minute, "how long a token is good for")
	fs.DurationVar(&d.rotate, "keyrotate", 24*time.Hour, "how often the key that signs tokens is replaced; tokens of the one before stay good")
	fs.DurationVar(&d.patience, "logintimeout", 10*time.Second, "how long a connection may take to send its request")
	fs.Float64Var(&d.addrRate, "addrrate", 20_000, "most logins a second from one address, twice as many at once; 0 for no limit")
	fs.Float64Var(&d.accountRate, "accountrate", 100, "most logins a second of one account, twice as many at once; 0 for no limit")
	fs.Float64Var(&d.newRate, "registerrate", 30, "most accounts that one address may try to make a minute (platform password), twice as many at once; 0 for no limit")
	fs.StringVar(&d.prefer, "prefer", "", "key=value: among agents and games, prefer those whose metadata says so (version=..., or what they announce)")
	return d
}

// check refuses flags that make no sense.
func (d *Desk) check() error {
	switch {
	case d.tokenLife < time.Second || d.tokenLife > loginapi.MaxTokenLife:
		return fmt.Errorf("-tokenlife=%v: from 1s to %v", d.tokenLife, loginapi.MaxTokenLife)
	case d.rotate < time.Minute:
		return fmt.Errorf("-keyrotate=%v: at least 1m", d.rotate)
	case d.patience <= 0:
		return fmt.Errorf("-logintimeout=%v: must be more than 0", d.patience)
	case d.addrRate < 0:
		return fmt.Errorf("-addrrate=%v: must not be negative", d.addrRate)
	case d.accountRate < 0:
		return fmt.Errorf("-accountrate=%v: must not be negative", d.accountRate)
	case d.newRate < 0:
		return fmt.Errorf("-registerrate=%v: must not be negative", d.newRate)
	case d.prefer != "" && !strings.Contains(d.prefer, "="):
		return fmt.Errorf("-prefer=%s: want key=value", d.prefer)
	}
	return nil
}

// Start wires the login service.
func (d *Desk) Start(ctx context.Context, app *basefx.App) (err error) {
	if err := d.check(); err != nil {
		return err
	}
	d.app, d.life = app, ctx
	d.refusals, d.failures = rarely.New(), rarely.New()
	d.perAddr = newTable(app, "address", d.addrRate, int(2*d.addrRate), hashAddr)
	d.perAccount = newTable(app, "account", d.accountRate, int(2*d.accountRate), hashAccount)
	d.perMaker = newTable(app, "registering address", d.newRate/60, int(2*d.newRate), hashAddr)
	if err := d.startAccounts(ctx, app); err != nil {
		return err
	}
	if d.signer, err = loginapi.NewSigner(); err != nil {
		return err
	}
	app.Go("token key", func(ctx context.Context) error { return d.signer.Keep(ctx, app.Registry, d.rotate, app.Log) })
	app.Need("memsd", func(snap *discovery.Snapshot) string {
		if !d.signer.Published(snap) {
			return "the key for tokens is not stored yet"
		}
		return ""
	})
	for _, name := range []string{"agent", "game"} {
		app.NeedService(name)
	}
	if err := d.startChoice(app); err != nil {
		return err
	}
	d.outcome = app.CounterBy("logins_total", "Connections to login by outcome: granted, refused, or ended without a request.", "outcome")
	d.session = cellnet.Config{Framing: cellnet.ClientFraming, MaxFrame: maxRequest, Brief: true, Counters: &d.sessions}
	return app.ServeClients(&d.port, &cellnet.Acceptor{
		Config: &d.session, WebSocket: true, HandshakeTimeout: d.patience,
		Open: func(s *cellnet.Session) (cellnet.Handler, error) {
			s.SetReadDeadline(time.Now().Add(d.patience))
			return &visit{desk: d, session: s}, nil
		},
	})
}

// startAccounts wires who clients are: the database and the platforms.
func (d *Desk) startAccounts(ctx context.Context, app *basefx.App) error {
	tables, err := d.platforms.check()
	if err != nil {
		return err
	}
	db, err := database.Open(app, &d.database, append(tables, identity.Tables(), loginapi.SessionTables())...)
	if err != nil {
		return err
	}
	d.uids, d.logins = identity.New(db), loginapi.NewSessions(db)
	d.sanctions = sanction.Watch(app)
	return d.platforms.start(ctx, app, db)
}

// startChoice wires how agent and game are chosen.
func (d *Desk) startChoice(app *basefx.App) (err error) {
	hub := hubapi.Join(app)
	hub.WatchStatus()
	hub.ReportStatus(func() *pb.ServiceStatus { return &pb.ServiceStatus{} })
	var strategy choice.Strategy = choice.Two{}
	if key, value, ok := strings.Cut(d.prefer, "="); ok {
		strategy = choice.Prefer{Key: key, Value: value, Next: strategy}
	}
	d.choose = choice.New(app.Registry, app.Allows, hub.Status, strategy)
	d.versions, err = discovery.Bind(app.Registry, choice.VersionsKey, choice.Versions{}, app.Log)
	if err != nil {
		return err
	}
	app.Go("versions", func(ctx context.Context) error { d.versions.Run(ctx, nil); return nil })
	return nil
}

// newTable makes a table of rates and shows how large it is.
func newTable[K any](app *basefx.App, of string, perSecond float64, burst int, hash func(maphash.Seed, K) uint64) *limits.Table[K] {
	t := limits.New[K](perSecond, max(burst, 1), maxKnown, hash)
	labels := map[string]string{"of": of}
	app.Gauge("login_rates", "Addresses and accounts whose rate of logins is known.", labels, func() float64 { return float64(t.Len()) })
	app.Counter("login_rates_overflow_total", "Of them forgotten early, because there were too many.", labels, func() float64 { return float64(t.Overflow()) })
	return t
}
