package sanction

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// Sanctions are those in force, as this process knows them. Any goroutine may
// ask; it costs a lookup and no lock.
type Sanctions struct {
	log     *slog.Logger
	current atomic.Pointer[map[who]Sanction] // replaced, never changed

	// Owned by the one who calls take.
	values uint64            // revision of what was looked at last
	broken map[string]string // values that could not be read, by key: each is logged once

	mu      sync.Mutex
	changed []func(s Sanction, lifted bool)
}

type who struct {
	kind Kind
	uid  string
}

// Watch follows the sanctions in memsd for as long as the process runs. A value
// that cannot be read is logged and passed over; if there was a good one in its
// place before, that stays in force. For Start only.
func Watch(app *basefx.App) *Sanctions {
	s := &Sanctions{log: app.Logger("sanctions")}
	s.take(app.Registry.Snapshot())
	app.Gauge("sanctions", "Mutes and bans in memsd, those that are over too.", nil, func() float64 { return float64(len(*s.current.Load())) })
	app.Go("sanctions", func(ctx context.Context) error {
		for snap := app.Registry.Snapshot(); ; {
			s.take(snap)
			next, err := app.Registry.Wait(ctx, snap.Revision())
			if err != nil {
				return nil // ctx is done, or the registry closed
			}
			snap = next
		}
	})
	return s
}

// OnChange adds f to what is called, one after the other, for every sanction
// that is new, was changed or was lifted; not when one is over. It is in force,
// or no longer, by then. For Start only.
func (s *Sanctions) OnChange(f func(now Sanction, lifted bool)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed = append(s.changed, f)
}

// Muted is the mute of a player that is in force now; false if there is none.
func (s *Sanctions) Muted(uid string) (Sanction, bool) { return s.find(Mute, uid) }

// Banned is the ban of a player that is in force now; false if there is none.
func (s *Sanctions) Banned(uid string) (Sanction, bool) { return s.find(Ban, uid) }

func (s *Sanctions) find(kind Kind, uid string) (Sanction, bool) {
	is, ok := (*s.current.Load())[who{kind, uid}]
	if !ok || is.Over(time.Now()) {
		return Sanction{}, false
	}
	return is, true
}

// take takes what a state says.
func (s *Sanctions) take(snap *discovery.Snapshot) {
	old := map[who]Sanction{}
	if m := s.current.Load(); m != nil {
		if s.values == snap.ValuesRevision() {
			return
		}
		old = *m
	}
	s.values = snap.ValuesRevision()
	next, broken := map[who]Sanction{}, map[string]string{}
	for key, value := range snap.Values(Prefix) {
		is, err := Parse(key, value)
		k := who{is.Kind, is.UID}
		if err == nil {
			next[k] = is
			continue
		}
		before, had := old[k]
		if had {
			next[k] = before
		}
		broken[key] = value
		if said, is := s.broken[key]; !is || said != value {
			s.log.Error("sanction cannot be read: set it anew, go run ./tool/moderate", "key", key, "value", clip(value), "err", err, "the one before stays", had)
		}
	}
	s.broken = broken
	s.current.Store(&next)
	s.tell(old, next)
}

// tell calls those who want to know of changes.
func (s *Sanctions) tell(old, next map[who]Sanction) {
	s.mu.Lock()
	all := slices.Clone(s.changed)
	s.mu.Unlock()
	if len(all) == 0 {
		return
	}
	say := func(is Sanction, lifted bool) {
		for _, f := range all {
			f(is, lifted)
		}
	}
	for k, is := range next {
		if before, had := old[k]; !had || before != is {
			say(is, false)
		}
	}
	for k, was := range old {
		if _, is := next[k]; !is {
			say(was, true)
		}
	}
}

// clip keeps a value from filling the log.
func clip(s string) string { return s[:min(len(s), 100)] }
