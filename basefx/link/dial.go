package link

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/davyxu/cellmesh_demo/util/cellnet"
)

// dialLoop keeps a link to one address for as long as discovery shows that
// service there.
func (ls *Links) dialLoop(ctx context.Context, k dialKey) {
	wait := backoff.NewExponentialBackOff() // 50 ms, growing by half to 3 s, each with jitter
	wait.InitialInterval, wait.MaxInterval = 50*time.Millisecond, 3*time.Second
	for {
		stood, err := ls.dialOnce(ctx, k)
		if ctx.Err() != nil {
			return
		}
		if stood {
			wait.Reset()
		}
		if ls.dialEnds(k, err) {
			return
		}
		select {
		case <-time.After(wait.NextBackOff()):
		case <-ctx.Done():
			return
		}
	}
}

// dialEnds notes why the last dial failed, or ends the loop if discovery no
// longer shows the service at that address. Both happen under mu, and so does
// reconcile: a service that comes back finds either a loop that goes on or none.
func (ls *Links) dialEnds(k dialKey, err error) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if svc, ok := ls.cfg.Registry.Snapshot().Service(k.id); !ok || svc.Addr != k.addr {
		delete(ls.dialing, k)
		return true
	}
	why := k.id + " at " + k.addr + ": " + err.Error()
	if ls.dialing[k] != why {
		ls.dialing[k] = why
		ls.cfg.Log.Debug("link not up, trying again", "peer", k.id, "addr", k.addr, "err", err)
	}
	return false
}

// dialOnce makes one link and serves it until it ends; stood tells whether it
// was ever established.
func (ls *Links) dialOnce(ctx context.Context, k dialKey) (stood bool, err error) {
	conn, err := ls.cfg.Dial(ctx, k.addr)
	if err != nil {
		return false, err
	}
	s := cellnet.NewSession(conn, &ls.session)
	h := newDialing(ls, s, k.id)
	err = s.Run(ctx, h)
	return h.link != nil, err
}
