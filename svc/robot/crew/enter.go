package crew

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/time/rate"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/client/clientapi"
	"github.com/davyxu/cellmesh_demo/svc/robot/player"
	"github.com/davyxu/cellmesh_demo/svc/robot/robotapi"
	"github.com/davyxu/cellmesh_demo/svc/robot/tally"
	"github.com/davyxu/cellmesh_demo/util/cellnet"
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
	tls       *tls.Config // nil: not used
	loggingIn *tally.Op
	connect   *tally.Op
}

// enterAll makes the robots and gets them and the idle ones in, robots first.
// It returns the connections by their numbers, nil for who did not get in. They
// live as long as ctx; entering is over when no more shall.
func (c *Crew) enterAll(ctx, entering context.Context, d *door) []*clientapi.Conn {
	f := &c.flags
	for i := range f.n {
		c.robots = append(c.robots, player.New(c.run, i, c.scenario.Play))
	}
	for i := range f.idle {
		c.idle = append(c.idle, &guest{crew: c, uid: c.run.UIDOf(f.n + i), index: f.n + i, stays: true})
	}
	all := make([]*clientapi.Conn, f.n+f.idle)
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(doors, len(all)) {
		workers.Go(func() {
			for i := range next {
				conn, err := d.enter(ctx, i, true)
				if err != nil {
					continue
				}
				all[i] = conn
				d.member(i).Online(conn.Session())
			}
		})
	}
	c.feed(entering, next, len(all))
	workers.Wait()
	for i, conn := range all {
		switch {
		case conn == nil:
		case i < f.n:
			c.online++
		default:
			c.idlers++
		}
	}
	return all
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
		ctx, cancel := context.WithTimeout(ctx, findTimeout)
		defer cancel()
		told := ""
		_, err := clientapi.FindLogin(ctx, c.app, func(why error) {
			if text := why.Error(); text != told {
				told = text
				c.progress.note("waiting: " + text)
			}
		})
		return d, err
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

// member is one of those who stay: a robot, or a guest.
type member interface {
	clientapi.Handler
	Online(player.Conn)
}

// member is who has that number.
func (d *door) member(i int) member {
	if i < len(d.crew.robots) {
		return d.crew.robots[i]
	}
	return d.crew.idle[i-len(d.crew.robots)]
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

// enter logs a member in and connects, for the first time or again. An error has
// been counted.
func (d *door) enter(ctx context.Context, i int, first bool) (*clientapi.Conn, error) {
	cfg := d.config(d.crew.run.UIDOf(i))
	start, step := time.Now(), "login"
	grant, err := d.logIn(ctx, cfg)
	if err == nil {
		if first && !d.crew.flags.noToken {
			d.loggingIn.Record(i, time.Since(start))
		}
		var conn *clientapi.Conn
		start, step = time.Now(), "connect"
		if conn, err = clientapi.Connect(ctx, grant, cfg, d.member(i)); err == nil {
			if first {
				d.connect.Record(i, time.Since(start))
			}
			return conn, nil
		}
	}
	if ctx.Err() == nil {
		d.crew.tally.Error(enterCode(step, err), cfg.UID+": "+err.Error())
	}
	return nil, err
}

// loginAddr is where robots log in, "" if there is no login.
func (d *door) loginAddr() string {
	if addr := d.crew.flags.login; addr != "" {
		return addr
	}
	return clientapi.FoundLogin(d.crew.app)
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
