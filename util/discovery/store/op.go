package store

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of values and batches.
const (
	MaxKey   = 1 << 10   // bytes of a key
	MaxValue = 512 << 10 // bytes of a value
	MaxOps   = 1024      // operations in a batch
	MaxBatch = 1 << 20   // bytes of all keys and values of a batch
	MaxKeys  = 1 << 20   // keys in the store
	MaxData  = 256 << 20 // bytes of all keys and values in the store
)

// Kind is what an Op does.
type Kind string

// The kinds of operations.
const (
	KindSet    Kind = "set"    // sets Key to Value
	KindDelete Kind = "delete" // deletes Key; deleting what is not there changes nothing
	KindCheck  Kind = "check"  // changes nothing: only its condition counts
	KindClear  Kind = "clear"  // deletes all keys that begin with Key (all keys when it is empty)
)

// Condition is what has to hold before a batch, or nothing of the batch is done.
type Condition string

// The conditions of an Op; the zero value asks for nothing.
const (
	IfAbsent Condition = "absent" // Key is not set
	IfValue  Condition = "value"  // Key is set to Was
)

// Op is one operation of a batch on values. All conditions are looked at before the first operation is done.
type Op struct {
	Kind  Kind      `json:"do"`
	Key   string    `json:"key"`
	Value string    `json:"value,omitempty"`
	If    Condition `json:"if,omitempty"`
	Was   string    `json:"was,omitempty"`
}

// SetOp sets key to value.
func SetOp(key, value string) Op { return Op{Kind: KindSet, Key: key, Value: value} }

// DeleteOp deletes key.
func DeleteOp(key string) Op { return Op{Kind: KindDelete, Key: key} }

// CheckOp changes nothing; it is there for its condition.
func CheckOp(key string) Op { return Op{Kind: KindCheck, Key: key} }

// ClearOp deletes every key that begins with prefix.
func ClearOp(prefix string) Op { return Op{Kind: KindClear, Key: prefix} }

// IfAbsent returns o with the condition that its key is not set.
func (o Op) IfAbsent() Op {
	o.If, o.Was = IfAbsent, ""
	return o
}

// IfValue returns o with the condition that its key has this value.
func (o Op) IfValue(was string) Op {
	o.If, o.Was = IfValue, was
	return o
}

// CheckKey fails with ErrInvalid or ErrTooLarge when key cannot be a key.
func CheckKey(key string) error {
	switch {
	case key == "":
		return fmt.Errorf("%w: a key must not be empty", ErrInvalid)
	case len(key) > MaxKey:
		return fmt.Errorf("%w: key of %d bytes, at most %d are allowed", ErrTooLarge, len(key), MaxKey)
	case !utf8.ValidString(key) || strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Errorf("%w: key %q must be UTF-8 without control characters", ErrInvalid, key)
	}
	return nil
}

// CheckValue fails with ErrInvalid or ErrTooLarge when value cannot be the value of key.
func CheckValue(key, value string) error {
	switch {
	case len(value) > MaxValue:
		return fmt.Errorf("%w: value of key %q has %d bytes, at most %d are allowed", ErrTooLarge, key, len(value), MaxValue)
	case !utf8.ValidString(value):
		return fmt.Errorf("%w: value of key %q is not UTF-8 text", ErrInvalid, key)
	}
	return nil
}

func (o Op) check() error {
	switch o.Kind {
	case KindSet:
		if err := CheckValue(o.Key, o.Value); err != nil {
			return err
		}
	case KindDelete, KindCheck:
	case KindClear:
		if o.If != "" {
			return fmt.Errorf("%w: clear takes no condition; use check operations", ErrInvalid)
		}
		if o.Key == "" {
			return nil
		}
	default:
		return fmt.Errorf("%w: operation %q is not set, delete, check or clear", ErrInvalid, o.Kind)
	}
	switch o.If {
	case "", IfAbsent, IfValue:
	default:
		return fmt.Errorf("%w: condition %q of key %q is not absent or value", ErrInvalid, o.If, o.Key)
	}
	return CheckKey(o.Key)
}

// CheckOps fails with ErrInvalid or ErrTooLarge when a batch could never be applied.
func CheckOps(ops []Op) error {
	if len(ops) > MaxOps {
		return fmt.Errorf("%w: batch of %d operations, at most %d are allowed", ErrTooLarge, len(ops), MaxOps)
	}
	size := 0
	for _, o := range ops {
		if err := o.check(); err != nil {
			return err
		}
		size += len(o.Key) + len(o.Value) + len(o.Was)
	}
	if size > MaxBatch {
		return fmt.Errorf("%w: batch of %d bytes, at most %d are allowed", ErrTooLarge, size, MaxBatch)
	}
	return nil
}

// Change is what happened to one value or one service.
type Change struct {
	Service *Service `json:"service,omitempty"` // the service as it is now, or as it last was when Deleted; nil: a value changed
	Key     string   `json:"key,omitempty"`     // of a value
	Value   string   `json:"value,omitempty"`   // what it is now; empty when Deleted
	Deleted bool     `json:"deleted,omitempty"`

	owner string // of the service; never leaves the store that wrote it
}

// Event is everything that one revision changed: it is seen as a whole or not at all.
type Event struct {
	Revision uint64   `json:"revision"`
	Changes  []Change `json:"changes,omitempty"`

	// Reset is set in the first event of a watch whose starting revision is no longer (or not yet) known, and after
	// a watcher fell too far behind: changes were left out, and this is the whole state instead.
	Reset *Snapshot `json:"-"`
}

// HasValues says whether values changed, and not only services.
func (e Event) HasValues() bool {
	return slices.ContainsFunc(e.Changes, func(c Change) bool { return c.Service == nil })
}

// size estimates the memory an event holds.
func (e Event) size() int {
	n := 64
	for _, c := range e.Changes {
		n += 96 + len(c.Key) + len(c.Value)
		if c.Service != nil {
			n += 512
		}
	}
	return n
}
