package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/davyxu/cellmesh_demo/svc/game/growth"
)

// maxRequestID is the longest request ID in bytes.
const maxRequestID = 64

// ErrRequestID: the client has made a request ID that cannot be used.
var ErrRequestID = errors.New("bad request ID")

// Holding is a player in the hands of a game, for one login. It keeps what is
// stored in memory, and knows when that cannot be relied on. One goroutine uses
// it at a time.
type Holding struct {
	store Store
	owner Owner
	owned bool    // Load has succeeded
	lost  bool    // to another owner, for good
	have  *Player // nil: not in memory
}

// Hold returns a Holding that has not loaded its player yet. No two owners may
// have the same Load.
func Hold(s Store, o Owner) *Holding { return &Holding{store: s, owner: o} }

// Loaded reports whether the player is in memory.
func (h *Holding) Loaded() bool { return h.have != nil }

// Forget drops the player from memory; when it is needed it is loaded again, if
// it is still ours.
func (h *Holding) Forget() { h.have = nil }

// Get returns the player, loaded if need be. One that does not exist begins as
// fresh, at this time. The errors are those of Store.Load.
func (h *Holding) Get(ctx context.Context, fresh growth.Player, at time.Time) (Player, error) {
	switch {
	case h.lost:
		return Player{}, about("load player", h.owner.UID, ErrNotOwner)
	case h.have != nil:
		return *h.have, nil
	}
	load := func() (Player, error) { return h.store.Load(ctx, h.owner, fresh, at) }
	if h.owned {
		load = func() (Player, error) { return h.store.Reload(ctx, h.owner) }
	}
	p, err := load()
	if err != nil {
		h.lost = errors.Is(err, ErrNotOwner)
		return Player{}, err
	}
	h.owned, h.have = true, &p
	return p, nil
}

// Change asks rule what becomes of the player, and returns when that is stored.
// If rule refuses with a *growth.Refusal, that is the error. The request ID
// belongs to one change: if it was answered before, that is the answer again, and
// nothing changes; it is an ErrRequestID if that was another kind of change.
//
// Another error says that it is not known whether the change was made: the
// request may come again. rule may be called twice, and changes nothing itself.
func (h *Holding) Change(ctx context.Context, requestID, what string, at time.Time, fresh growth.Player, rule func(growth.Player) (growth.Player, error)) (Entry, error) {
	if err := checkRequestID(requestID); err != nil {
		return Entry{}, err
	}
	for again := true; ; again = false {
		p, err := h.Get(ctx, fresh, at)
		if err != nil {
			return Entry{}, err
		}
		e := Entry{UID: h.owner.UID, RequestID: requestID, What: what, At: time.UnixMilli(at.UnixMilli())} // as it will be read
		err = h.try(ctx, p, &e, rule)
		if !again || !errors.Is(err, ErrStale) {
			return e, err
		}
	}
}

// try is one try of a change to p; e is filled, or exchanged for the line of the
// first time.
func (h *Holding) try(ctx context.Context, p Player, e *Entry, rule func(growth.Player) (growth.Player, error)) error {
	if r := p.wasRefused(e.RequestID); r != nil {
		if r.What != e.What {
			return reused(r.RequestID, r.What)
		}
		return &growth.Refusal{Why: r.Why, Text: r.Text}
	}
	after, no := rule(p.Player)
	next := Player{p.Data, p.Revision}
	var refusal *growth.Refusal
	var err error
	switch {
	case no == nil:
		next.Player, next.Revision = after, p.Revision+1
		e.Revision, e.Before, e.After = next.Revision, stateOf(p.Player), stateOf(after)
		err = h.store.Apply(ctx, h.owner, *e, next.Data)
	case errors.As(no, &refusal):
		next.Data = p.refused(Refused{e.RequestID, e.What, refusal.Why, refusal.Text})
		err = h.store.Note(ctx, h.owner, e.RequestID, p.Revision, next.Data)
	default:
		return no
	}
	var twice *DuplicateError
	switch {
	case err == nil:
		h.have = &next
		return no
	case errors.As(err, &twice):
		if twice.Entry.What != e.What {
			return reused(e.RequestID, twice.Entry.What)
		}
		*e = twice.Entry
		return nil
	}
	h.have = nil // what is stored is not known
	h.lost = errors.Is(err, ErrNotOwner)
	return err
}

func reused(id, what string) error {
	return fmt.Errorf("%w: %q was used already, for what was %s", ErrRequestID, id, what)
}

func checkRequestID(id string) error {
	switch {
	case id == "" || len(id) > maxRequestID:
		return fmt.Errorf("%w: it has 1 to %d bytes", ErrRequestID, maxRequestID)
	case strings.HasPrefix(id, "#"):
		return fmt.Errorf("%w: those that begin with # are the server's own", ErrRequestID)
	case !utf8.ValidString(id) || strings.ContainsFunc(id, unicode.IsControl):
		return fmt.Errorf("%w: it has characters that cannot be seen", ErrRequestID)
	}
	return nil
}
