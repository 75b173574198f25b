package wire

import (
	"fmt"

	"github.com/davyxu/cellmesh_demo/util/discovery/store"
)

// Event is a store.Event as memsd sends it. Events are most of what clients have to read: so they say nothing twice, and
// briefly.
type Event struct {
	Revision uint64   `json:"r"`
	Changes  []Change `json:"c,omitempty"`
}

// Change is a store.Change.
type Change struct {
	Service *Service `json:"s,omitempty"`
	Key     string   `json:"k,omitempty"`
	Value   string   `json:"v,omitempty"`
	Deleted bool     `json:"d,omitempty"`
}

// Service is a store.Service; its name, group and index are in its ID.
type Service struct {
	ID    string            `json:"id"`
	Addr  string            `json:"addr,omitempty"`
	State store.State       `json:"state"`
	Meta  map[string]string `json:"meta,omitempty"`
	Epoch uint64            `json:"epoch"`
}

// NewEvent makes an event ready for the wire.
func NewEvent(ev store.Event) Event {
	out := Event{Revision: ev.Revision, Changes: make([]Change, len(ev.Changes))}
	for i, c := range ev.Changes {
		out.Changes[i] = Change{Key: c.Key, Value: c.Value, Deleted: c.Deleted}
		if c.Service != nil {
			out.Changes[i].Service = NewService(c.Service)
		}
	}
	return out
}

// NewService makes a service ready for the wire.
func NewService(s *store.Service) *Service {
	return &Service{ID: s.ID, Addr: s.Addr, State: s.State, Meta: s.Meta, Epoch: s.Epoch}
}

// Store returns the event that e was made from. It fails with ErrBadMessage if no store can have made it.
func (e Event) Store() (store.Event, error) {
	out := store.Event{Revision: e.Revision, Changes: make([]store.Change, len(e.Changes))}
	for i, c := range e.Changes {
		out.Changes[i] = store.Change{Key: c.Key, Value: c.Value, Deleted: c.Deleted}
		if c.Service != nil {
			svc, err := c.Service.Store()
			if err != nil {
				return store.Event{}, err
			}
			out.Changes[i].Service = svc
		}
	}
	return out, nil
}

// Store returns the service that s was made from. It fails with ErrBadMessage if no store can have had it.
func (s *Service) Store() (*store.Service, error) {
	if s == nil {
		return nil, fmt.Errorf("%w: null instead of a service", ErrBadMessage)
	}
	name, index, group, err := store.ParseID(s.ID)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadMessage, err)
	}
	out := &store.Service{ID: s.ID, Name: name, Group: group, Index: index, Addr: s.Addr, State: s.State, Meta: s.Meta, Epoch: s.Epoch}
	if err := out.Check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadMessage, err)
	}
	return out, nil
}
