package store

import (
	"iter"
	"strings"

	"github.com/tidwall/btree"
)

// Snapshot is everything as it was at one revision. It never changes, may be kept and read from any goroutine, and
// reading it allocates nothing. The zero value is empty, at revision 0.
//
// Snapshots share what they have in common: the next one costs a few tree nodes, not a copy.
type Snapshot struct {
	rev       uint64
	valuesRev uint64 // of the newest change of a value
	services  *btree.BTreeG[entry]
	values    btree.Map[string, string]
	bytes     int // of all keys and values
}

// entry carries its ordering fields itself, so that a look-up needs no pointer to a made-up Service.
type entry struct {
	name, group string
	index       int
	svc         *Service
	owner       string // known only where the registration was made
}

func newServices() *btree.BTreeG[entry] {
	less := func(a, b entry) bool { return compareServices(&a, &b) < 0 }
	return btree.NewBTreeGOptions(less, btree.Options{Degree: 16, NoLocks: true})
}

func entryOf(s *Service, owner string) entry {
	return entry{name: s.Name, group: s.Group, index: s.Index, svc: s, owner: owner}
}

// Revision of the newest change in s. It only ever grows.
func (s *Snapshot) Revision() uint64 { return s.rev }

// ValuesRevision is that of the newest change of a value. In one lineage of data, states with the same have the same
// values.
func (s *Snapshot) ValuesRevision() uint64 { return s.valuesRev }

// Len returns how many services and values there are.
func (s *Snapshot) Len() (services, values int) {
	if s.services != nil {
		services = s.services.Len()
	}
	return services, s.values.Len()
}

// Bytes returns the size of all keys and values.
func (s *Snapshot) Bytes() int { return s.bytes }

// Service returns the service with this ID. The result is shared: read only.
func (s *Snapshot) Service(id string) (*Service, bool) {
	name, index, group, err := ParseID(id)
	if err != nil {
		return nil, false
	}
	e, ok := s.lookup(name, group, index)
	return e.svc, ok
}

func (s *Snapshot) lookup(name, group string, index int) (entry, bool) {
	if s.services == nil {
		return entry{}, false
	}
	return s.services.Get(entry{name: name, group: group, index: index})
}

// Services yields all services of this name (of every name when it is empty), ordered by name, group and index.
// The results are shared: read only.
func (s *Snapshot) Services(name string) iter.Seq[*Service] {
	return func(yield func(*Service) bool) { s.eachService(name, yield) }
}

// eachService and eachValue are there so that what Services and Values return is small enough to be inlined into the
// caller's loop, which then allocates nothing.
func (s *Snapshot) eachService(name string, yield func(*Service) bool) {
	if s.services == nil {
		return
	}
	s.services.Ascend(entry{name: name, index: -1}, func(e entry) bool {
		return (name == "" || e.name == name) && yield(e.svc)
	})
}

// Value returns the value of key.
func (s *Snapshot) Value(key string) (string, bool) { return s.values.Get(key) }

// Values yields all keys that begin with prefix, in order, with their values.
func (s *Snapshot) Values(prefix string) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) { s.eachValue(prefix, yield) }
}

func (s *Snapshot) eachValue(prefix string, yield func(string, string) bool) {
	s.values.Ascend(prefix, func(key, value string) bool {
		return strings.HasPrefix(key, prefix) && yield(key, value)
	})
}

// Next returns s with the changes of ev made, or ev.Reset when that is set. s stays as it is.
func (s *Snapshot) Next(ev Event) *Snapshot {
	if ev.Reset != nil {
		return ev.Reset
	}
	next := &Snapshot{rev: ev.Revision, valuesRev: s.valuesRev, services: s.services, bytes: s.bytes}
	// Copying a tree marks the one copied from, too. Marking a copy of its root instead leaves s untouched, which
	// other goroutines may be reading.
	values := s.values
	next.values = *values.Copy()
	servicesCopied := false
	for _, c := range ev.Changes {
		switch {
		case c.Service != nil:
			if !servicesCopied {
				servicesCopied = true
				next.services = copyServices(s.services)
			}
			if c.Deleted {
				next.services.Delete(entryOf(c.Service, ""))
			} else {
				next.services.Set(entryOf(c.Service, c.owner))
			}
		case c.Deleted:
			next.valuesRev = ev.Revision
			if old, had := next.values.Delete(c.Key); had {
				next.bytes -= len(c.Key) + len(old)
			}
		default:
			next.valuesRev = ev.Revision
			old, had := next.values.Set(c.Key, c.Value)
			next.bytes += len(c.Value) - len(old)
			if !had {
				next.bytes += len(c.Key)
			}
		}
	}
	return next
}

func copyServices(t *btree.BTreeG[entry]) *btree.BTreeG[entry] {
	if t == nil {
		return newServices()
	}
	marked := *t
	return marked.Copy()
}

// NewSnapshot returns a snapshot at this revision with these values and services; values changed last at valuesRevision.
// It is quickest if they come in order.
func NewSnapshot(revision, valuesRevision uint64, values iter.Seq2[string, string], services iter.Seq[*Service]) *Snapshot {
	s := &Snapshot{rev: revision, valuesRev: valuesRevision}
	if values != nil {
		for k, v := range values {
			old, had := s.values.Load(k, v)
			s.bytes += len(v) - len(old)
			if !had {
				s.bytes += len(k)
			}
		}
	}
	s.services = collect(services)
	return s
}

// WithServices returns a snapshot at this revision with these services, and the values of s.
func (s *Snapshot) WithServices(revision uint64, services iter.Seq[*Service]) *Snapshot {
	values := s.values
	return &Snapshot{rev: revision, valuesRev: s.valuesRev, services: collect(services), values: *values.Copy(), bytes: s.bytes}
}

func collect(services iter.Seq[*Service]) *btree.BTreeG[entry] {
	t := newServices()
	if services != nil {
		for svc := range services {
			t.Load(entryOf(svc, ""))
		}
	}
	return t
}
