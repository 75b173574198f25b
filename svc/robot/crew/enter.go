package crew

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"time"

	"golang.org/x/time/rate"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/client/clientapi"
	"github.com/davyxu/cellmesh_demo/svc/robot/player"
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
func (c *Crew) enterAll(ctx, entering context.Context) []*clientapi.Conn {
	f := &c.flags
	d, err := c.newDoor(entering)
	if err != nil {
		c.tally.Error("find login", err.Error())
		return nil
	}
	script := c.scenario.New(&c.run.Options)
	for i := range f.n {
		c.robots = append(c.robots, player.New(c.run, i, fmt.Sprint(f.uid, i), script))
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
					c.idling.Add(1)
					if all[i] = d.enter(ctx, i, idler{c}); all[i] == nil {
						c.idling.Add(-1)
					}
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
		Features: uint32(pb.VerifyREQ_Reject), Timeout: enterTimeout, Session: d.session, Beats: &d.crew.beats, TLS: d.tls,
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
			c.say("entering %d of %d", i+1, count)
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

// enter logs in and connects. It returns nil if that failed, which has been
// counted.
func (d *door) enter(ctx context.Context, i int, h clientapi.Handler) *clientapi.Conn {
	f := &d.crew.flags
	cfg := d.config(fmt.Sprint(f.uid, i))
	grant := clientapi.Grant{Agent: f.agent, Token: "robot"}
	if !f.noToken {
		start := time.Now()
		var err error
		if grant, err = clientapi.Login(ctx, d.loginAddr(), cfg); err != nil {
			d.crew.tally.Error(enterCode("login", err), cfg.UID+": "+err.Error())
			return nil
		}
		d.loggingIn.Record(i, time.Since(start))
		if f.agent != "" {
			grant.Agent = f.agent
		}
	}
	start := time.Now()
	conn, err := clientapi.Connect(ctx, grant, cfg, h)
	if err != nil {
		d.crew.tally.Error(enterCode("connect", err), cfg.UID+": "+err.Error())
		return nil
	}
	d.connect.Record(i, time.Since(start))
	return conn
}

// awaitLogin waits until discovery shows a login.
func (d *door) awaitLogin(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, findTimeout)
	defer cancel()
	for d.loginAddr() == "" {
		rev := d.registry.Snapshot().Revision()
		if _, err := d.registry.Wait(ctx, rev); err == nil {
			continue
		}
		if rev == 0 {
			return fmt.Errorf("no memsd at %s (start it, or give -login=host:port)", d.crew.app.Flags.SDAddr)
		}
		return errors.New("no login is ready (or give -login=host:port)")
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
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return step + ": no local port left, give more -source addresses"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return step + ": too many open files"
	case errors.Is(err, context.DeadlineExceeded):
		return step + ": timeout"
	}
	return step + ": " + cellnet.ReasonLabel(err)
}

// idler is who only heartbeats.
type idler struct{ crew *Crew }

func (idler) Message(uint16, []byte) error { return nil }
func (idler) Batch()                       {}

// Closed counts an end that was not asked for.
func (i idler) Closed(err error) {
	i.crew.idling.Add(-1)
	i.crew.tally.Error("closed: "+cellnet.ReasonLabel(err), "idle: "+err.Error())
}
