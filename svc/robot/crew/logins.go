package crew

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/davyxu/cellmesh_demo/svc/client/clientapi"
	"github.com/davyxu/cellmesh_demo/svc/robot/robotapi"
)

const (
	// uidsEach is how many uids each robot of scenario login has in turn.
	uidsEach = 50
	// afterNo is how long a robot waits when it did not get in.
	afterNo = 100 * time.Millisecond
)

// performLogins is a run of scenario login: every robot logs in, closes that
// connection and begins anew, as another of its uids.
func (c *Crew) performLogins(ctx, entering context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	d, err := c.newDoor(entering)
	if err != nil {
		return err
	}
	done := c.tally.Op("login")
	one := func(ctx context.Context, i, round int) bool {
		cfg := d.config(fmt.Sprint(c.flags.uid, i+c.flags.n*(round%uidsEach)))
		start := time.Now()
		_, err := clientapi.Login(ctx, d.loginAddr(), cfg)
		switch {
		case err == nil:
			done.Record(i, time.Since(start))
		case ctx.Err() == nil:
			c.tally.Error(enterCode("login", err), cfg.UID+": "+err.Error())
		}
		return err == nil
	}
	if !one(entering, 0, 0) {
		errors := c.tally.Errors()
		if len(errors) == 0 {
			return nil // interrupted
		}
		return fmt.Errorf("no robot got in: %s (%s)", errors[0].Example, errors[0].Code)
	}
	var robots sync.WaitGroup
	defer robots.Wait()
	defer stop()
	for i := range c.flags.n {
		c.idling.Add(1)
		robots.Go(func() {
			defer c.idling.Add(-1)
			for round := 0; ctx.Err() == nil; round++ {
				if !one(ctx, i, round) {
					select {
					case <-time.After(afterNo):
					case <-ctx.Done():
					}
				}
			}
		})
	}
	c.online = c.flags.n
	c.say("%s %d robots that log in", robotapi.LineOnline, c.online)
	return c.conclude(c.watch())
}
