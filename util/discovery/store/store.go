package store

import (
	"fmt"
	"iter"
)

// MaxRevision is far above what a store can reach by itself: a peer that claims more is not believed.
const MaxRevision = 1 << 62

// Store holds the newest state and the rules by which it changes. It does no locking: one goroutine (or lock) owns
// it. What it hands out (snapshots, events) may go anywhere.
//
// Every method that changes something returns the Event to be published. An event without changes means that nothing
// changed and no revision was used.
type Store struct {
	snap *Snapshot
	ours bool // snap has been given to nobody: it may be changed in place
}

// New returns a store whose state is snap; the next change gets the revision after it. nil is an empty store at
// revision 1: revision 0 means "nothing heard yet" everywhere.
func New(snap *Snapshot) *Store {
	if snap == nil {
		snap = NewSnapshot(1, 1, nil, nil)
	}
	return &Store{snap: snap}
}

// Snapshot returns the state as it is now.
func (s *Store) Snapshot() *Snapshot {
	s.ours = false
	return s.snap
}

// Restore goes back to a snapshot of this store, as if what came after had never happened. It is for changes that
// could not be made durable and that nobody has seen.
func (s *Store) Restore(snap *Snapshot) { s.snap, s.ours = snap, false }

// Advance makes the revision at least revision.
func (s *Store) Advance(revision uint64) {
	if revision > s.snap.rev {
		s.next(Event{Revision: revision})
	}
}

func (s *Store) commit(changes ...Change) Event {
	ev := Event{Revision: s.snap.rev, Changes: changes}
	if len(changes) > 0 {
		ev.Revision++
		s.next(ev)
	}
	return ev
}

// next makes the state what it is after ev. Changes that nobody looks between share one copy.
func (s *Store) next(ev Event) {
	if !s.ours {
		s.snap, s.ours = s.snap.copy(), true
	}
	s.snap.apply(ev)
}

// Apply does a batch of operations on values: all of it or, when a condition does not hold (ErrConflict), the batch
// is invalid (ErrInvalid, ErrTooLarge) or the store is full (ErrFull), nothing. Within a batch a later operation on
// the same key wins. Setting a value to what it is, or deleting what is not there, is no change.
func (s *Store) Apply(ops []Op) (Event, error) {
	if err := CheckOps(ops); err != nil {
		return Event{}, err
	}
	for _, o := range ops {
		if err := s.holds(o); err != nil {
			return Event{}, err
		}
	}
	changes := s.changes(ops)
	keys, bytes := s.snap.values.Len(), s.snap.bytes
	if moreKeys, moreBytes := s.growth(changes); moreBytes > 0 && bytes+moreBytes > MaxData || moreKeys > 0 && keys+moreKeys > MaxKeys {
		return Event{}, fmt.Errorf("%w: the store has %d keys and %d bytes, at most %d and %d are allowed: delete what is not needed",
			ErrFull, keys, bytes, MaxKeys, MaxData)
	}
	return s.commit(changes...), nil
}

// growth returns how many keys and bytes more there are after changes.
func (s *Store) growth(changes []Change) (keys, bytes int) {
	for _, c := range changes {
		old, had := s.snap.Value(c.Key)
		if had {
			keys, bytes = keys-1, bytes-len(c.Key)-len(old)
		}
		if !c.Deleted {
			keys, bytes = keys+1, bytes+len(c.Key)+len(c.Value)
		}
	}
	return keys, bytes
}

// changes turns operations into what they change, at most one change a key, in the order of first mention.
func (s *Store) changes(ops []Op) []Change {
	var changes []Change
	at := make(map[string]int, len(ops))
	put := func(c Change) {
		if i, ok := at[c.Key]; ok {
			changes[i] = c
			return
		}
		at[c.Key] = len(changes)
		changes = append(changes, c)
	}
	for _, o := range ops {
		switch o.Kind {
		case KindSet:
			put(Change{Key: o.Key, Value: o.Value})
		case KindDelete:
			put(Change{Key: o.Key, Deleted: true})
		case KindClear:
			for i, c := range changes {
				if len(c.Key) >= len(o.Key) && c.Key[:len(o.Key)] == o.Key {
					changes[i] = Change{Key: c.Key, Deleted: true}
				}
			}
			for key := range s.snap.Values(o.Key) {
				put(Change{Key: key, Deleted: true})
			}
		}
	}
	// What ends as it began is no change.
	kept := changes[:0]
	for _, c := range changes {
		old, had := s.snap.Value(c.Key)
		if c.Deleted && had || !c.Deleted && (!had || old != c.Value) {
			kept = append(kept, c)
		}
	}
	return kept
}

func (s *Store) holds(o Op) error {
	old, had := s.snap.Value(o.Key)
	switch {
	case o.If == IfAbsent && had:
		return fmt.Errorf("%w: key %q is already set; read it and decide again", ErrConflict, o.Key)
	case o.If == IfValue && !had:
		return fmt.Errorf("%w: key %q is not set; read it and decide again", ErrConflict, o.Key)
	case o.If == IfValue && old != o.Was:
		return fmt.Errorf("%w: key %q has another value by now; read it and decide again", ErrConflict, o.Key)
	}
	return nil
}

// FreeIndex returns the lowest index that no service of this name and group has.
func (s *Store) FreeIndex(name, group string) int {
	free := 0
	for _, svc := range s.instances(name, group) {
		if svc.Index > free {
			break
		}
		free = svc.Index + 1
	}
	return free
}

// instances yields the registrations of one name and group with their keys, by index.
func (s *Store) instances(name, group string) iter.Seq2[string, *Service] {
	return func(yield func(string, *Service) bool) {
		first := orderKey(&Service{Name: name, Group: group})
		s.snap.services.Ascend(first, func(key string, svc *Service) bool {
			return svc.Name == name && svc.Group == group && yield(key, svc)
		})
	}
}

// Owner returns who holds the registration of this ID.
func (s *Store) Owner(id string) (owner string, ok bool) {
	svc, ok := s.snap.Service(id)
	if !ok {
		return "", false
	}
	return s.snap.owners.Get(orderKey(svc))
}

// Holds returns the index of owner's registration of this name and group.
func (s *Store) Holds(owner, name, group string) (index int, ok bool) {
	for key, svc := range s.instances(name, group) {
		if held, _ := s.snap.owners.Get(key); held == owner {
			return svc.Index, true
		}
	}
	return 0, false
}

// Registration returns the ID that owner has registered; empty: none.
func (s *Store) Registration(owner string) (id string) {
	s.snap.owners.Scan(func(key, held string) bool {
		if held == owner {
			svc, _ := s.snap.services.Get(key)
			id = svc.ID
		}
		return id == ""
	})
	return id
}

// Register enters svc for owner, a text that no other registration uses, and returns it with ID, Index and Epoch
// filled in. A negative Index asks for the lowest free one.
//
// Epoch 0 is a new registration: whoever held the ID before has lost it, and the epoch is higher than any given
// before. Any other epoch is an owner that has changed something or comes back: it succeeds if the ID is still its own
// or free, and fails with ErrReplaced if who has it now has a higher epoch. (A lower one can only have been given by a
// registry that had lost its state, to a process that came before the elder was back.) Asking again, for want of an
// answer, changes nothing.
func (s *Store) Register(owner string, svc Service) (Service, Event, error) {
	if err := svc.Check(); err != nil {
		return Service{}, Event{}, err
	}
	if owner == "" {
		return Service{}, Event{}, fmt.Errorf("%w: a registration of %s needs an owner", ErrInvalid, svc.Name)
	}
	if svc.Epoch > MaxRevision {
		return Service{}, Event{}, fmt.Errorf("%w: epoch %d of %s: no registry has given that", ErrInvalid, svc.Epoch, svc.Name)
	}
	if svc.Index < 0 {
		if svc.Epoch != 0 {
			return Service{}, Event{}, fmt.Errorf("%w: %s comes back with epoch %d but no index", ErrInvalid, svc.Name, svc.Epoch)
		}
		var again bool // the answer got lost
		if svc.Index, again = s.Holds(owner, svc.Name, svc.Group); !again {
			svc.Index = s.FreeIndex(svc.Name, svc.Group)
		}
		if svc.Index >= MaxIndex {
			return Service{}, Event{}, fmt.Errorf("%w: %s@%s has %d services already", ErrFull, svc.Name, svc.Group, MaxIndex)
		}
	}
	svc = svc.Clone()
	svc.ID = FormatID(svc.Name, svc.Index, svc.Group)
	old := s.snap.lookup(svc.Name, svc.Group, svc.Index)
	if n, _ := s.snap.Len(); old == nil && n >= MaxServices {
		return Service{}, Event{}, fmt.Errorf("%w: there are %d services already", ErrFull, n)
	}
	held, _ := s.Owner(svc.ID)
	switch {
	case held == owner: // asked twice, changed something, or back within the lease
		svc.Epoch = old.Epoch
	case svc.Epoch == 0:
		if old != nil {
			s.Advance(old.Epoch) // so that the next revision is an epoch above any given
		}
		svc.Epoch = s.snap.rev + 1
	case old != nil && svc.Epoch < old.Epoch:
		return Service{}, Event{}, fmt.Errorf("%w: service ID %s (epoch %d) belongs to another process now (epoch %d)",
			ErrReplaced, svc.ID, svc.Epoch, old.Epoch)
	default:
		s.Advance(svc.Epoch)
	}
	if held == owner && old.Equal(svc) {
		return svc, s.commit(), nil
	}
	shared := svc.Clone()
	return svc, s.commit(Change{Service: &shared, owner: owner}), nil
}

// Leave removes owner's registration of id; nobody else's: that and an ID that is not there change nothing.
func (s *Store) Leave(owner, id string) Event {
	if held, ok := s.Owner(id); !ok || held != owner {
		return s.commit()
	}
	return s.Remove(id)
}

// Remove removes the registrations of these IDs in one event, whoever owns them. IDs that are not there are skipped.
func (s *Store) Remove(ids ...string) Event {
	var changes []Change
	seen := make(map[string]bool, len(ids))
	for _, id := range ids {
		if svc, ok := s.snap.Service(id); ok && !seen[id] {
			seen[id] = true
			changes = append(changes, Change{Service: svc, Deleted: true})
		}
	}
	return s.commit(changes...)
}
