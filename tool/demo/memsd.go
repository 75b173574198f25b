package main

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/agent/route"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// The ports that memsd may have: after 8900, which is for one run by hand, and
// below those that systems give to whoever connects, so that nobody takes it by
// chance while memsd is away. Its metrics are 100 above.
const firstPort, lastPort = 8901, 8999

// memsdTimeout is how long memsd may take until it answers.
const memsdTimeout = 20 * time.Second

// startMemsd starts memsd at the first of our ports that is free, and waits
// until it answers.
func (d *demo) startMemsd(ctx context.Context) error {
	for port := firstPort; port <= lastPort; port++ {
		addr, metrics := loopback(port), loopback(port+100)
		if taken(addr) || taken(metrics) {
			continue
		}
		p, err := d.spawn("memsd", "memsd", "-addr="+addr, "-datafile="+filepath.Join(d.home, "persist.json"), "-httpaddr="+metrics, "-sdcert=", "-sdkey=")
		if err != nil {
			return err
		}
		if err = d.awaitMemsd(ctx, p, addr); err == nil {
			d.memsd, d.memsdAddr, d.memsdMetrics = p, addr, metrics
			return nil
		}
		if ctx.Err() != nil || !p.ended() || !taken(addr) && !taken(metrics) {
			return err
		}
		d.forget(p) // somebody else was quicker to take the port
	}
	return fmt.Errorf("no port from %d to %d is free for memsd", firstPort, lastPort)
}

// forget takes a process that has ended off the list.
func (d *demo) forget(p *process) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.children = slices.DeleteFunc(d.children, func(c *process) bool { return c == p })
}

// awaitMemsd connects to memsd and waits until it answers.
func (d *demo) awaitMemsd(ctx context.Context, p *process, addr string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, memsdTimeout, fmt.Errorf("memsd does not answer at %s within %v, see %s", addr, memsdTimeout, p.log.shown()))
	defer cancel()
	var watch sync.WaitGroup
	defer watch.Wait()
	ctx, ended := context.WithCancelCause(ctx)
	defer ended(nil)
	watch.Go(func() {
		select {
		case <-p.done:
			ended(p.obituary())
		case <-ctx.Done():
		}
	})
	reg := discovery.Dial(context.Background(), addr, discovery.Options{Name: "demo"})
	status, err := reg.Status(ctx)
	switch {
	case err != nil:
		err = stopCause(ctx, err)
	case status.PID != p.pid(): // that of somebody who was quicker; ours is about to end
		<-ctx.Done()
		err = context.Cause(ctx)
	}
	if err != nil {
		reg.Close()
		return err
	}
	d.reg = reg
	return nil
}

// pushRoutes sets the route rules of the .proto files in memsd.
func (d *demo) pushRoutes(ctx context.Context) error {
	table, err := route.FromMessages(pb.Messages())
	if err != nil {
		return err
	}
	return discovery.Set(ctx, d.reg, route.Key, string(route.Marshal(table)))
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// taken reports whether somebody listens on addr.
func taken(addr string) bool {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return true
	}
	l.Close()
	return false
}
