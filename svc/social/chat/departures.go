package chat

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// How long after a client is gone its rooms are told. Before that it may turn out
// that it is not: another social has it, the link to its agent is back; or the
// player has come again and has joined again.
const (
	grace         = 5 * time.Second
	departLooks   = time.Second // between two looks at who is due
	departTries   = 3           // when agents do not answer
	askAtOnce     = 8           // rooms
	maxDepartures = 100_000
)

// departures are who may have left which room. The zero value is ready.
type departures struct {
	mu      sync.Mutex
	rooms   map[string]map[string]departure // by room and uid
	count   int
	unheard int64 // more than may wait
}

type departure struct {
	name  string
	at    time.Time
	tries int
}

// add notes that a player may have left a room.
func (d *departures) add(room, uid, name string, at time.Time) {
	d.put(room, uid, departure{name: name, at: at})
}

func (d *departures) put(room, uid string, one departure) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, is := d.rooms[room][uid]; !is {
		if d.count >= maxDepartures {
			d.unheard++
			return
		}
		d.count++
	}
	if d.rooms == nil {
		d.rooms = map[string]map[string]departure{}
	}
	if d.rooms[room] == nil {
		d.rooms[room] = map[string]departure{}
	}
	d.rooms[room][uid] = one
}

// back reports whether a player who joins a room was about to be told as gone
// from there; it no longer is.
func (d *departures) back(room, uid string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, is := d.rooms[room][uid]
	if is {
		d.remove(room, uid)
	}
	return is
}

// remove removes one that is there. The caller holds mu.
func (d *departures) remove(room, uid string) {
	d.count--
	if delete(d.rooms[room], uid); len(d.rooms[room]) == 0 {
		delete(d.rooms, room)
	}
}

// due takes out those who went before.
func (d *departures) due(before time.Time) map[string]map[string]departure {
	d.mu.Lock()
	defer d.mu.Unlock()
	due := map[string]map[string]departure{}
	for room, all := range d.rooms {
		for uid, one := range all {
			if one.at.After(before) {
				continue
			}
			if due[room] == nil {
				due[room] = map[string]departure{}
			}
			due[room][uid] = one
			d.remove(room, uid)
		}
	}
	return due
}

func (d *departures) dropped() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.unheard
}

// tellDepartures tells rooms who has left, as long as the process runs.
func (s *Social) tellDepartures(ctx context.Context) error {
	look := time.NewTicker(departLooks)
	defer look.Stop()
	var all errgroup.Group
	all.SetLimit(askAtOnce)
	defer all.Wait()
	for {
		select {
		case now := <-look.C:
			for room, gone := range s.departures.due(now.Add(-grace)) {
				all.Go(func() error { s.tellGone(ctx, room, gone); return nil })
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// lastTold bounds how long a social that stops tells who has left: its clients' messages
// go on meanwhile, but it has little time.
const lastTold = 2 * time.Second

// tellAllGone tells rooms who has left, without grace: nobody would tell it later.
func (s *Social) tellAllGone(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lastTold)
	defer cancel()
	var all errgroup.Group
	all.SetLimit(askAtOnce)
	for room, gone := range s.departures.due(time.Now()) {
		all.Go(func() error { s.tellGone(ctx, room, gone); return nil })
	}
	all.Wait()
}

// tellGone tells a room who has left: those who are no longer among its members.
func (s *Social) tellGone(ctx context.Context, room string, gone map[string]departure) {
	members, err := s.clients.Members(ctx, groupOf(room))
	if err != nil { // who is not named may be with an agent that does not answer
		for uid, one := range gone {
			if one.tries++; one.tries < departTries {
				s.departures.put(room, uid, one)
			}
		}
		return
	}
	if len(members) == 0 {
		return // nobody is there to be told
	}
	for _, m := range members {
		delete(gone, m.UID)
	}
	if uid, text := leftText(gone); text != "" {
		s.system(room, uid, gone[uid].name, text)
	}
}

// namedLeft is how many of those who have left at once are named.
const namedLeft = 5

// leftText says who has left; uid is whose if it is one, else "".
func leftText(gone map[string]departure) (uid, text string) {
	var names []string
	for u, one := range gone {
		uid = u
		names = append(names, one.name)
	}
	slices.Sort(names)
	switch n := len(names); {
	case n == 0:
		return "", ""
	case n == 1:
		return uid, names[0] + " left"
	case n > namedLeft:
		return "", fmt.Sprintf("%s and %d others left", strings.Join(names[:namedLeft-1], ", "), n-namedLeft+1)
	default:
		return "", strings.Join(names[:n-1], ", ") + " and " + names[n-1] + " left"
	}
}
