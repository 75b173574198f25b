package crew

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/client/clientapi"
	"github.com/davyxu/cellmesh_demo/svc/robot/player"
	"github.com/davyxu/cellmesh_demo/svc/robot/robotapi"
	"github.com/davyxu/cellmesh_demo/svc/robot/tally"
	"github.com/davyxu/cellmesh_demo/util/cellnet"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

const (
	// doors is how many get in at a time.
	doors = 64
	// enterTimeout bounds each step of getting in.
	enterTimeout = 20 * time.Second
	// findTimeout bounds the wait for a login to find.
	findTimeout = 20 * time.Second
)

// door is what all who get in have in common.
type door struct {
	crew      *Crew
	session   *cellnet.Config
	registry  discovery.Registry // nil: not needed
	tls       *tls.Config        // nil: not used
	loggingIn *tally.Op
	connect   *tally.Op
}

// enterAll makes the robots and gets them and the idle ones in, robots first.
// It returns the connections of those who got in, which live as long as ctx;
// entering is over when no more shall.
func (c *Crew) enterAll(ctx, entering context.Context, d *door) []*clientapi.Conn {
	f := &c.flags
	for i := range f.n {
		c.robots = append(c.robots, player.New(c.run, i, c.scenario.Play))
	}
	all := make([]*clientapi.Conn, f.n+f.idle)
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(doors, len(all)) {
		workers.Go(func() {
			for i := range next {
				if i < f.n {
					all[i] = d.robot(ctx, i)
				} else {
					all[i] = d.idle(ctx, i)
				}
			}
		})
	}
	c.feed(entering, next, len(all))
	workers.Wait()
	var in []*clientapi.Conn
	for i, conn := range all {
		switch {
		case conn == nil:
			continue
		case i < f.n:
			c.online++
		default:
			c.idlers++
		}
		in = append(in, conn)
	}
	return in
}

// newDoor waits until there is a login, if one is needed.
func (c *Crew) newDoor(ctx context.Context) (*door, error) {
	f := &c.flags
	d := &door{crew: c, loggingIn: c.enter.Op("login"), connect: c.enter.Op("connect")}
	d.session = &cellnet.Config{Framing: cellnet.ClientFraming, DialContext: c.sources.dial, Linger: time.Second}
	if f.tls {
		var err error
		if d.tls, err = clientapi.TrustTLS(f.ca); err != nil {
			return nil, err
		}
	}
	if !f.noToken && f.login == "" {
		d.registry = c.app.Discover()
		return d, d.awaitLogin(ctx)
	}
	return d, nil
}

// config is what a robot says of itself.
func (d *door) config(uid string) *clientapi.Config {
	f := &d.crew.flags
	return &clientapi.Config{
		CommType: f.commType, Version: "1.0", Platform: f.platform, UID: uid, Credential: f.secret,
		Features: uint32(pb.VerifyREQ_Reject | d.crew.scenario.Features), Timeout: enterTimeout, Session: d.session, Beats: &d.crew.beats, TLS: d.tls,
	}
}

// feed hands out the numbers of who is to get in, no faster than -ramp.
func (c *Crew) feed(ctx context.Context, next chan<- int, count int) {
	defer close(next)
	limit := rate.Inf
	if c.flags.ramp > 0 {
		limit = rate.Limit(c.flags.ramp)
	}
	ramp := rate.NewLimiter(limit, 1)
	shown := time.Now()
	for i := range count {
		if ramp.Wait(ctx) != nil {
			return
		}
		next <- i
		if time.Since(shown) >= time.Second {
			shown = time.Now()
			c.progress.phase(robotapi.Entering, i+1, count)
		}
	}
}

// robot gets a robot in.
func (d *door) robot(ctx context.Context, i int) *clientapi.Conn {
	r := d.crew.robots[i]
	conn := d.enter(ctx, i, r)
	if conn != nil {
		r.Online(conn.Session())
	}
	return conn
}

// idle gets in who only heartbeats.
func (d *door) idle(ctx context.Context, i int) *clientapi.Conn {
	d.crew.guests.Add(1)
	conn := d.enter(ctx, i, &guest{crew: d.crew, uid: d.crew.run.UIDOf(i), idle: true})
	if conn == nil {
		d.crew.guests.Add(-1)
	}
	return conn
}

// logIn asks login, if there is one.
func (d *door) logIn(ctx context.Context, cfg *clientapi.Config) (clientapi.Grant, error) {
	f := &d.crew.flags
	if f.noToken {
		return clientapi.Grant{Agent: f.agent, Token: cfg.UID}, nil
	}
	grant, err := clientapi.Login(ctx, d.loginAddr(), cfg)
	if f.agent != "" {
		grant.Agent = f.agent
	}
	return grant, err
}

// enter logs in and connects. It returns nil if that failed, which has been
// counted.
func (d *door) enter(ctx context.Context, i int, h clientapi.Handler) *clientapi.Conn {
	cfg := d.config(d.crew.run.UIDOf(i))
	start := time.Now()
	grant, err := d.logIn(ctx, cfg)
	if err != nil {
		d.crew.tally.Error(enterCode("login", err), cfg.UID+": "+err.Error())
		return nil
	}
	if !d.crew.flags.noToken {
		d.loggingIn.Record(i, time.Since(start))
	}
	start = time.Now()
	conn, err := clientapi.Connect(ctx, grant, cfg, h)
	if err != nil {
		d.crew.tally.Error(enterCode("connect", err), cfg.UID+": "+err.Error())
		return nil
	}
	d.connect.Record(i, time.Since(start))
	return conn
}

// awaitLogin waits until discovery shows a login, and tells if that takes a
// while.
func (d *door) awaitLogin(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, findTimeout)
	defer cancel()
	patient, stop := context.WithTimeout(ctx, time.Second)
	defer stop()
	for d.loginAddr() == "" {
		rev := d.registry.Snapshot().Revision()
		if _, err := d.registry.Wait(patient, rev); err == nil {
			continue
		}
		err := errors.New("no login is ready (or give -login=host:port)")
		if rev == 0 {
			err = fmt.Errorf("no memsd at %s (start it, or give -login=host:port)", d.crew.app.Flags.SDAddr)
		}
		if ctx.Err() != nil {
			return err
		}
		d.crew.progress.note("waiting: " + err.Error())
		patient = ctx
	}
	return nil
}

// loginAddr is a login's address, any of those that are ready; "" if there is
// none.
func (d *door) loginAddr() string {
	if d.registry == nil {
		return d.crew.flags.login
	}
	found, count := "", 0
	for svc := range d.registry.Snapshot().Services("login") {
		addr := svc.Meta[discovery.MetaWAN]
		if addr == "" || svc.State != discovery.Ready || !d.crew.app.Allows(svc) {
			continue
		}
		if count++; rand.IntN(count) == 0 {
			found = addr
		}
	}
	return found
}

// enterCode is the class of an error while getting in.
func enterCode(step string, err error) string {
	var refused *clientapi.Refused
	switch {
	case errors.As(err, &refused):
		return fmt.Sprintf("%s refused: %v", refused.What, refused.Code)
	case errors.Is(err, syscall.ECONNREFUSED):
		return step + ": connection refused"
	case errors.Is(err, syscall.EADDRNOTAVAIL) && strings.Contains(err.Error(), "bind:"):
		return step + ": this machine does not have that -source address"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return step + ": no local port left, give more -source addresses"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return step + ": too many open files"
	case errors.Is(err, context.DeadlineExceeded):
		return step + ": timeout"
	}
	return step + ": " + cellnet.ReasonLabel(err)
}

// guest is who says nothing but heartbeats.
type guest struct {
	crew *Crew
	uid  string
	idle bool // one of Crew.guests

	farewell string // why the server is about to close; of the connection's goroutine
}

// Message hears why the server is about to close.
func (g *guest) Message(id uint16, body []byte) error {
	var m pb.RejectACK
	if id == pb.RejectACKID && proto.Unmarshal(body, &m) == nil && m.MsgId == 0 {
		g.farewell = m.Code.String()
	}
	return nil
}

// Batch has nothing to write.
func (g *guest) Batch() {}

// Closed counts an end that was not asked for. That the server did not say why is
// a violation.
func (g *guest) Closed(err error) {
	if g.idle {
		g.crew.guests.Add(-1)
	}
	if code, example, wrong := player.Ended(g.farewell, err); code != "" {
		g.crew.tally.Error(code, g.uid+": "+example)
		if wrong {
			g.crew.tally.Violation(robotapi.CloseUnexplained, g.uid, g.crew.run.Now(), player.ExpectedFarewell, example)
		}
	}
}
