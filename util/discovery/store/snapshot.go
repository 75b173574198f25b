package store

import (
	"encoding/binary"
	"iter"
	"strings"
	"unsafe"

	"github.com/tidwall/btree"
)

// Snapshot is everything as it was at one revision. It never changes, may be kept and read from any goroutine, and
// reading it allocates nothing. The zero value is empty, at revision 0.
//
// Snapshots share what they have in common: the next one costs a few tree nodes, not a copy.
type Snapshot struct {
	rev       uint64
	valuesRev uint64                      // of the newest change of a value
	services  btree.Map[string, *Service] // by orderKey
	owners    btree.Map[string, string]   // by orderKey; empty but in the store that made the registrations
	values    btree.Map[string, string]
	bytes     int // of all keys and values
}

const maxOrderKey = 2*(MaxName+1) + 4

// appendOrderKey appends what services are ordered by: name, group and index. No name contains a zero byte.
func appendOrderKey(b []byte, name, group string, index int) []byte {
	b = append(append(b, name...), 0)
	b = append(append(b, group...), 0)
	return binary.BigEndian.AppendUint32(b, uint32(index))
}

func orderKey(s *Service) string {
	return string(appendOrderKey(make([]byte, 0, maxOrderKey), s.Name, s.Group, s.Index))
}

// Revision of the newest change in s. It only ever grows.
func (s *Snapshot) Revision() uint64 { return s.rev }

// ValuesRevision is that of the newest change of a value. In one lineage of data, states with the same have the same
// values.
func (s *Snapshot) ValuesRevision() uint64 { return s.valuesRev }

// Len returns how many services and values there are.
func (s *Snapshot) Len() (services, values int) { return s.services.Len(), s.values.Len() }

// Bytes returns the size of all keys and values.
func (s *Snapshot) Bytes() int { return s.bytes }

// Service returns the service with this ID. The result is shared: read only.
func (s *Snapshot) Service(id string) (*Service, bool) {
	name, index, group, err := ParseID(id)
	if err != nil {
		return nil, false
	}
	svc := s.lookup(name, group, index)
	return svc, svc != nil
}

// lookup returns a service, or nil. name and group must be valid names.
func (s *Snapshot) lookup(name, group string, index int) *Service {
	var buf [maxOrderKey]byte
	key := appendOrderKey(buf[:0], name, group, index)
	// Get only compares its key: this string does not outlive buf, and costs no allocation.
	svc, _ := s.services.Get(unsafe.String(unsafe.SliceData(key), len(key)))
	return svc
}

// Services yields all services of this name (of every name when it is empty), ordered by name, group and index.
// The results are shared: read only.
func (s *Snapshot) Services(name string) iter.Seq[*Service] {
	return func(yield func(*Service) bool) { s.eachService(name, yield) }
}

// eachService and eachValue are there so that what Services and Values return is small enough to be inlined into the
// caller's loop, which then allocates nothing.
func (s *Snapshot) eachService(name string, yield func(*Service) bool) {
	s.services.Ascend(name, func(_ string, svc *Service) bool {
		return (name == "" || svc.Name == name) && yield(svc)
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

// Next returns s after events, or a later state that one of them resets to. s stays as it is.
func (s *Snapshot) Next(events ...Event) *Snapshot {
	next := s.copy()
	for i, ev := range events {
		if ev.Reset != nil {
			return ev.Reset.Next(events[i+1:]...)
		}
		next.apply(ev)
	}
	return next
}

func (s *Snapshot) copy() *Snapshot {
	// Copying a tree marks the one copied from, too. Copying a copy of its root instead leaves s untouched, which other
	// goroutines may be reading.
	next := *s
	next.services, next.owners, next.values = *next.services.Copy(), *next.owners.Copy(), *next.values.Copy()
	return &next
}

// apply modifies s, which nobody else may have seen.
func (s *Snapshot) apply(ev Event) {
	s.rev = ev.Revision
	for _, c := range ev.Changes {
		if c.Service != nil {
			s.changeService(c)
		} else {
			s.changeValue(c)
		}
	}
}

// changeService and changeValue modify s, which nobody else may have seen.
func (s *Snapshot) changeService(c Change) {
	key := orderKey(c.Service)
	if c.Deleted {
		s.services.Delete(key)
		s.owners.Delete(key)
		return
	}
	s.services.Set(key, c.Service)
	if c.owner != "" {
		s.owners.Set(key, c.owner)
	}
}

func (s *Snapshot) changeValue(c Change) {
	s.valuesRev = s.rev
	if c.Deleted {
		if old, had := s.values.Delete(c.Key); had {
			s.bytes -= len(c.Key) + len(old)
		}
		return
	}
	old, had := s.values.Set(c.Key, c.Value)
	s.bytes += len(c.Value) - len(old)
	if !had {
		s.bytes += len(c.Key)
	}
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
	s.loadServices(services)
	return s
}

// WithServices returns a snapshot at this revision with these services, and the values of s.
func (s *Snapshot) WithServices(revision uint64, services iter.Seq[*Service]) *Snapshot {
	values := s.values
	next := &Snapshot{rev: revision, valuesRev: s.valuesRev, values: *values.Copy(), bytes: s.bytes}
	next.loadServices(services)
	return next
}

func (s *Snapshot) loadServices(services iter.Seq[*Service]) {
	if services != nil {
		for svc := range services {
			s.services.Load(orderKey(svc), svc)
		}
	}
}
