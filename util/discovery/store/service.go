// Package store is the state machine behind every discovery engine of this project: which services live, which
// values are set, and in which order that came about. It knows no clock, no network and no file, so that the
// in-memory registry, memsd and memsd's clients cannot disagree about what a change means.
//
// Open store.go first (the rules), then snapshot.go (what readers see) and feed.go (how changes reach those who
// watch). Users of discovery see these types under the names of package discovery.
package store

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of one service registration.
const (
	MaxName  = 64       // bytes of a service's name, and of its group
	MaxIndex = 1 << 20  // indexes are below this
	MaxMeta  = 16 << 10 // bytes of a registration's address and metadata together

	MaxServices = 1 << 16 // in the store
)

// State says what a registered service does just now.
type State string

// The states of a service. Only Ready wants new work.
const (
	Starting State = "starting"
	Ready    State = "ready"
	Draining State = "draining"
)

// Service is one registered process. Once handed out by a registry it is shared by all readers and never modified.
type Service struct {
	ID    string            `json:"id"` // name#index@group
	Name  string            `json:"name"`
	Group string            `json:"group"`
	Index int               `json:"index"`
	Addr  string            `json:"addr,omitempty"` // host:port where other services link to; may be empty
	State State             `json:"state"`
	Meta  map[string]string `json:"meta,omitempty"`
	Epoch uint64            `json:"epoch,omitempty"` // given by the registry; grows with every registration of the ID by a new owner
}

// Clone returns a copy that shares nothing with s.
func (s Service) Clone() Service {
	s.Meta = maps.Clone(s.Meta)
	return s
}

// Equal says whether s and o are the same in every field.
func (s Service) Equal(o Service) bool {
	return s.ID == o.ID && s.Name == o.Name && s.Group == o.Group && s.Index == o.Index &&
		s.Addr == o.Addr && s.State == o.State && s.Epoch == o.Epoch && maps.Equal(s.Meta, o.Meta)
}

// FormatID returns the ID of a service: "game#0@dev".
func FormatID(name string, index int, group string) string {
	return name + "#" + strconv.Itoa(index) + "@" + group
}

// ParseID takes an ID apart. It fails with ErrInvalid when id is not name#index@group.
func ParseID(id string) (name string, index int, group string, err error) {
	name, rest, _ := strings.Cut(id, "#")
	digits, group, _ := strings.Cut(rest, "@")
	index, convErr := strconv.Atoi(digits)
	// FormatID would allocate, and this is on the path of Snapshot.Service: refuse what Atoi forgives by hand.
	canonical := digits == "0" || len(digits) > 0 && digits[0] >= '1' && digits[0] <= '9'
	if convErr != nil || !canonical || index >= MaxIndex || !validName(name) || !validName(group) {
		return "", 0, "", fmt.Errorf("%w: service ID %q is not name#index@group, like game#0@dev", ErrInvalid, id)
	}
	return name, index, group, nil
}

// validName accepts what is safe in an ID, a log line and a file name: letters, digits, '_', '-' and '.'.
func validName(s string) bool {
	if len(s) == 0 || len(s) > MaxName {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-', c == '.':
		default:
			return false
		}
	}
	return true
}

// Check fails with ErrInvalid or ErrTooLarge when s cannot be registered. A negative Index is allowed: it asks for
// the lowest free one.
func (s Service) Check() error {
	switch {
	case !validName(s.Name):
		return fmt.Errorf("%w: service name %q: 1 to %d letters, digits, '_', '-', '.' are allowed", ErrInvalid, s.Name, MaxName)
	case !validName(s.Group):
		return fmt.Errorf("%w: service group %q: 1 to %d letters, digits, '_', '-', '.' are allowed", ErrInvalid, s.Group, MaxName)
	case s.Index >= MaxIndex:
		return fmt.Errorf("%w: service index %d: must be below %d", ErrInvalid, s.Index, MaxIndex)
	case s.State != Starting && s.State != Ready && s.State != Draining:
		return fmt.Errorf("%w: service state %q: must be starting, ready or draining", ErrInvalid, s.State)
	case !utf8.ValidString(s.Addr):
		return fmt.Errorf("%w: address of service %s is not UTF-8", ErrInvalid, s.Name)
	}
	size := len(s.Addr)
	for k, v := range s.Meta {
		if !utf8.ValidString(k) || !utf8.ValidString(v) {
			return fmt.Errorf("%w: metadata %q of service %s is not UTF-8", ErrInvalid, k, s.Name)
		}
		size += len(k) + len(v)
	}
	if size > MaxMeta {
		return fmt.Errorf("%w: address and metadata of service %s have %d bytes, at most %d are allowed", ErrTooLarge, s.Name, size, MaxMeta)
	}
	return nil
}
