package crew

import (
	"context"
	"sync"
	"time"

	"github.com/davyxu/cellmesh_demo/svc/client/clientapi"
	"github.com/davyxu/cellmesh_demo/svc/robot/player"
	"github.com/davyxu/cellmesh_demo/svc/robot/robotapi"
)

const (
	// uidsEach is how many uids each robot that comes and goes has in turn.
	uidsEach = 50
	// late is how late a visit may begin before the delay counts as latency: what
	// the robot's own clock cannot do better is no fault of the server.
	late = 2 * time.Millisecond
)

// performVisits is a run of a scenario whose robots come and go.
func (c *Crew) performVisits(ctx, entering context.Context) error {
	visiting, stop := context.WithCancel(ctx)
	defer stop()
	d, err := c.newDoor(entering)
	if err != nil {
		return unlessInterrupted(entering, err)
	}
	if !c.visit(entering, d, 0, 0, time.Now()) {
		return c.nobody()
	}
	var robots sync.WaitGroup
	defer robots.Wait()
	defer stop()
	next := make(chan int)
	robots.Go(func() { c.feed(entering, next, c.flags.n) })
	for i := range next {
		c.guests.Add(1)
		robots.Go(func() {
			defer c.guests.Add(-1)
			c.comeAndGo(visiting, d, i)
		})
		c.online++
	}
	c.progress.phase(robotapi.Online, c.online, c.flags.n)
	m := c.watch()
	stop()
	robots.Wait()
	c.run.Settle()
	return c.conclude(ctx, m)
}

// comeAndGo has a robot visit until ctx is done: again at once, or after some
// thinking, or with a rate so often whatever becomes of it.
func (c *Crew) comeAndGo(ctx context.Context, d *door, i int) {
	f := &c.flags
	due, gap := time.Now(), time.Duration(0)
	if f.rate > 0 {
		gap = time.Duration(float64(time.Second) / f.rate)
		due = due.Add(gap * time.Duration(i) / time.Duration(f.n))
	}
	for round := 0; wait(ctx, time.Until(due)); round++ {
		if time.Since(due) < late {
			due = time.Now()
		}
		ok := c.visit(ctx, d, i, round, due)
		switch {
		case gap > 0:
			due = due.Add(gap)
		case !ok:
			due = time.Now().Add(player.AfterRefusal)
		default:
			due = time.Now().Add(f.think)
		}
	}
}

// wait waits for d and reports whether ctx is not done.
func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// visit has a robot come and go once, as another of its uids than the last time.
func (c *Crew) visit(ctx context.Context, d *door, i, round int, due time.Time) bool {
	cfg := d.config(c.run.UIDOf(i + c.flags.n*(round%uidsEach)))
	v := &visit{door: d, index: i, cfg: cfg, since: due}
	defer v.Leave()
	err := c.scenario.Visit(ctx, v)
	if err != nil && ctx.Err() == nil {
		c.tally.Error(enterCode(v.step, err), cfg.UID+": "+err.Error())
	}
	return err == nil
}

// visit is a player.Visit.
type visit struct {
	door  *door
	index int
	cfg   *clientapi.Config
	step  string
	since time.Time // the step was due
	conn  *clientapi.Conn
}

func (v *visit) LogIn(ctx context.Context) (clientapi.Grant, error) {
	v.step = "login"
	grant, err := v.door.logIn(ctx, v.cfg)
	if err == nil && !v.door.crew.flags.noToken {
		v.record()
	}
	return grant, err
}

func (v *visit) Connect(ctx context.Context, g clientapi.Grant) (err error) {
	v.step = "connect"
	if v.conn, err = clientapi.Connect(ctx, g, v.cfg, &guest{crew: v.door.crew, uid: v.cfg.UID}); err != nil {
		return err
	}
	v.record()
	return nil
}

// record counts a step. The next begins now.
func (v *visit) record() {
	now := time.Now()
	v.door.crew.tally.Op(v.step).Record(v.index, now.Sub(v.since))
	v.since = now
}

func (v *visit) Leave() {
	if v.conn == nil {
		return
	}
	v.conn.Close()
	v.conn = nil
}
