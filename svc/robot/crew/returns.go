package crew

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/client/clientapi"
)

const (
	// shortestBreak is about how long a robot waits before it comes back, and
	// longestBreak before it tries once more, each time twice as long.
	shortestBreak = 100 * time.Millisecond
	longestBreak  = 5 * time.Second
)

// lose notes that a member has lost its connection. Each is noted once until it
// has another, so there is room for all.
func (c *Crew) lose(i int) {
	c.away.Add(1)
	c.lost <- i
}

// bringBack brings those back who have lost their connection, until ctx is done.
func (c *Crew) bringBack(ctx context.Context, d *door) {
	var all sync.WaitGroup
	defer all.Wait()
	free := make(chan struct{}, doors)
	for {
		select {
		case i := <-c.lost:
			since := c.run.Now()
			all.Go(func() {
				defer c.away.Add(-1)
				<-c.conns[i].Done()
				if c.comeBack(ctx, d, free, i) {
					c.tally.Op("return").Record(i, c.run.Now()-since)
				}
			})
		case <-ctx.Done():
			return
		}
	}
}

// comeBack gets a member in again, as often as it takes, and reports whether it
// is in.
func (c *Crew) comeBack(ctx context.Context, d *door, free chan struct{}, i int) bool {
	for pause := shortestBreak; wait(ctx, pause/2+rand.N(pause)); pause = min(2*pause, longestBreak) {
		select {
		case free <- struct{}{}:
		case <-ctx.Done():
			return false
		}
		conn, err := d.enter(ctx, i, false)
		<-free
		switch {
		case err == nil:
			c.conns[i] = conn
			d.member(i).Online(conn.Session())
			return true
		case isHopeless(err):
			return false
		}
	}
	return false
}

// isHopeless reports whether login would say the same the next time.
func isHopeless(err error) bool {
	var refused *clientapi.Refused
	if !errors.As(err, &refused) {
		return false
	}
	switch refused.Code {
	case pb.ResultCode_CredentialInvalid, pb.ResultCode_PlatformUnknown, pb.ResultCode_VersionRefused, pb.ResultCode_AccountLocked, pb.ResultCode_BadRequest:
		return true
	}
	return false
}
