package sanction

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// Set puts a sanction in force, in place of one of its kind that the player has.
// With the same write those that are over are removed, some at a time.
func Set(ctx context.Context, r discovery.Registry, s Sanction) error {
	if err := s.Check(); err != nil {
		return fmt.Errorf("%s of %q: %w", s.Kind, s.UID, err)
	}
	value, err := s.Value()
	if err != nil {
		return fmt.Errorf("%s of %q: %w", s.Kind, s.UID, err)
	}
	ops := append(sweep(r.Snapshot(), time.Now()), discovery.SetOp(s.Key(), value)) // in this order: it may be the same key
	if _, err := r.Apply(ctx, ops...); errors.Is(err, discovery.ErrConflict) {
		return discovery.Set(ctx, r, s.Key(), value) // somebody else has removed one
	} else if err != nil {
		return fmt.Errorf("%s of %q: %w", s.Kind, s.UID, err)
	}
	return nil
}

// maxSweep is how many sanctions that are over are removed at once.
const maxSweep = 100

// sweep removes sanctions that are over, if they are still what they were.
func sweep(snap *discovery.Snapshot, now time.Time) (ops []discovery.Op) {
	for key, value := range snap.Values(Prefix) {
		if s, err := Parse(key, value); err == nil && s.Over(now) && len(ops) < maxSweep {
			ops = append(ops, discovery.DeleteOp(key).IfValue(value))
		}
	}
	return ops
}

// Lift takes back what there is against a player, whether it can be read or not.
// It returns what kinds there were.
func Lift(ctx context.Context, r discovery.Registry, uid string) (lifted []Kind, err error) {
	var ops []discovery.Op
	for _, kind := range []Kind{Mute, Ban} {
		key := Sanction{Kind: kind, UID: uid}.Key()
		if _, is := r.Snapshot().Value(key); is {
			lifted = append(lifted, kind)
			ops = append(ops, discovery.DeleteOp(key))
		}
	}
	if len(ops) == 0 {
		return nil, nil
	}
	if _, err := r.Apply(ctx, ops...); err != nil {
		return nil, fmt.Errorf("lift what is against %q: %w", uid, err)
	}
	return lifted, nil
}

// List returns all sanctions by uid, those that are over too, and an error for
// each value that cannot be read.
func List(snap *discovery.Snapshot) (all []Sanction, broken []error) {
	for key, value := range snap.Values(Prefix) {
		s, err := Parse(key, value)
		if err != nil {
			broken = append(broken, fmt.Errorf("%s = %q: %w", key, clip(value), err))
			continue
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b Sanction) int {
		return cmp.Or(cmp.Compare(a.UID, b.UID), cmp.Compare(a.Kind, b.Kind))
	})
	return all, broken
}
