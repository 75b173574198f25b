package world

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/davyxu/cellmesh_demo/svc/agent/agentapi"
	"github.com/davyxu/cellmesh_demo/svc/game/growth"
	"github.com/davyxu/cellmesh_demo/svc/game/store"
	"github.com/davyxu/cellmesh_demo/util/msgmux"
)

// Player is a verified client as handlers see it. What happens to one player
// happens in order, one at a time: handlers, and what was given to Do.
type Player struct {
	UID    string
	Epoch  uint64 // of this login
	Client *agentapi.Client

	held *store.Holding
	used atomic.Int64 // Unix nanoseconds of the last time that the data was needed; 0: it is not in memory
}

func (w *World) newPlayer(c *agentapi.Client, who agentapi.Identity) *Player {
	p := &Player{UID: who.UID, Epoch: who.Epoch, Client: c}
	p.held = store.Hold(w.store, store.Owner{UID: who.UID, Epoch: who.Epoch, Load: rand.Text()})
	return p
}

// Do runs f in the player's turn, soon: for timers, and for what other players
// cause. An error means that it will not run, because the player is gone or lets
// too much wait.
func (p *Player) Do(f func(ctx context.Context)) error {
	return p.Client.Do(func(ctx context.Context) {
		whole := false
		defer func() {
			if !whole { // it panics, which is counted and logged above
				p.forget()
			}
		}()
		f(ctx)
		whole = true
	})
}

// failed is told what a handler has failed with. After a panic nothing in memory
// is to be relied on.
func (p *Player) failed(err error) {
	var panicked *msgmux.PanicError
	if errors.As(err, &panicked) {
		p.forget()
	}
}

func (p *Player) forget() {
	p.held.Forget()
	p.used.Store(0)
}

// load returns the player's data.
func (w *World) load(ctx context.Context, p *Player) (store.Player, error) {
	now := time.Now()
	data, err := p.held.Get(ctx, w.tables.Get().New(p.UID, now), now)
	p.touched(now)
	return data, err
}

// change has rule change the player's data, and returns when that is on the
// disk, or was before by the same request. See store.Holding.Change.
func (w *World) change(ctx context.Context, p *Player, requestID, what string, rule func(t *growth.Tables, g growth.Player, now time.Time) (growth.Player, error)) (store.Entry, error) {
	now, t := time.Now(), w.tables.Get()
	e, err := p.held.Change(ctx, requestID, what, now, t.New(p.UID, now), func(g growth.Player) (growth.Player, error) {
		return rule(t, g, now)
	})
	p.touched(now)
	return e, err
}

func (p *Player) touched(now time.Time) {
	if !p.held.Loaded() {
		now = time.Unix(0, 0)
	}
	p.used.Store(now.UnixNano())
}

// unloadIdle looks for idle players as long as the process runs.
func (w *World) unloadIdle(ctx context.Context) error {
	look := time.NewTicker(max(w.idle/4, 10*time.Millisecond))
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-look.C:
			w.players.each(func(p *Player) {
				if p.idle(now, w.idle) {
					_ = p.Do(func(context.Context) { // not now: next time
						if p.idle(now, w.idle) {
							p.forget()
						}
					})
				}
			})
		}
	}
}

func (p *Player) idle(now time.Time, after time.Duration) bool {
	used := p.used.Load()
	return used != 0 && now.UnixNano()-used > int64(after)
}

// players are those who are here. The zero value is ready.
type players struct {
	mu  sync.Mutex
	all map[*Player]struct{}
}

func (s *players) add(p *Player) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = map[*Player]struct{}{}
	}
	s.all[p] = struct{}{}
}

func (s *players) remove(p *Player) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, p)
}

func (s *players) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)
}

// loaded is how many have their data in memory.
func (s *players) loaded() (n int) {
	s.each(func(p *Player) {
		if p.used.Load() != 0 {
			n++
		}
	})
	return n
}

// each calls f, which does not block, for all.
func (s *players) each(f func(*Player)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range s.all {
		f(p)
	}
}
