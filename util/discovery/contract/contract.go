// Package contract is what every discovery engine promises, as tests. An engine's own test calls Run; what only that
// engine promises (durability, reconnecting) it tests beside it. This is how an engine is put under the suite:
//
//	func TestContract(t *testing.T) {
//		contract.Run(t, func(t *testing.T) contract.Open {
//			addr := startEngine(t) // empty; ends with t
//			return func() discovery.Registry { return engine.Dial(addr) }
//		})
//	}
//
// Nothing in it knows an engine: it uses the interface alone, and waits for what has to happen rather than for a time.
//
// Open contract.go first; values.go, watch.go and leases.go hold the promises.
package contract

import (
	"context"
	"testing"
	"time"

	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// Open returns a new handle on the engine under test, as another process would have it. Run closes it.
type Open func() discovery.Registry

// Run tests one engine. start begins a new and empty instance of it for one test (ending it with t.Cleanup) and returns
// how to open handles on it.
func Run(t *testing.T, start func(t *testing.T) Open) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, open Open)
	}{
		{"FirstContact", firstContact},
		{"SetGetDelete", setGetDelete},
		{"UnchangedIsNoChange", unchangedIsNoChange},
		{"BatchIsAtomic", batchIsAtomic},
		{"CompareAndSet", compareAndSet},
		{"CompareAndSetCounts", compareAndSetCounts},
		{"ClearPrefix", clearPrefix},
		{"TextIsKept", textIsKept},
		{"Limits", limits},
		{"WatchOrder", watchOrder},
		{"WatchFromRevision", watchFromRevision},
		{"WatchReset", watchReset},
		{"WatchEnds", watchEnds},
		{"WaitLevel", waitLevel},
		{"ReadersNeverSeeHalfABatch", readersNeverSeeHalfABatch},
		{"SnapshotIsImmutable", snapshotIsImmutable},
		{"SnapshotReadsAllocateNothing", snapshotReadsAllocateNothing},
		{"Register", register},
		{"RegisterRefuses", registerRefuses},
		{"ServicesAreOrdered", servicesAreOrdered},
		{"LowestFreeIndex", lowestFreeIndex},
		{"FiftyAtOnce", fiftyAtOnce},
		{"Update", update},
		{"Replace", replace},
		{"LeaseClose", leaseClose},
		{"CloseLeaves", closeLeaves},
		{"ClosedIsClosed", closedIsClosed},
	} {
		t.Run(c.name, func(t *testing.T) {
			open := start(t)
			c.test(t, func() discovery.Registry {
				r := open()
				t.Cleanup(func() {
					if err := r.Close(); err != nil {
						t.Errorf("close: %v", err)
					}
				})
				return r
			})
		})
	}
}

// patience is how long anything may take that has to happen.
const patience = 30 * time.Second

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// until returns the first snapshot that ok accepts.
func until(t *testing.T, r discovery.Registry, what string, ok func(*discovery.Snapshot) bool) *discovery.Snapshot {
	t.Helper()
	ctx := within(t)
	s := r.Snapshot()
	for !ok(s) {
		next, err := r.Wait(ctx, s.Revision())
		if err != nil {
			t.Fatalf("waiting until %s: %v (at revision %d)", what, err, s.Revision())
		}
		if next.Revision() <= s.Revision() {
			t.Fatalf("waiting until %s: revision went from %d to %d", what, s.Revision(), next.Revision())
		}
		s = next
	}
	return s
}

func apply(t *testing.T, r discovery.Registry, ops ...discovery.Op) uint64 {
	t.Helper()
	rev, err := r.Apply(within(t), ops...)
	if err != nil {
		t.Fatalf("apply %v: %v", ops, err)
	}
	return rev
}

func enter(t *testing.T, r discovery.Registry, name string, index int) discovery.Lease {
	t.Helper()
	l, err := r.Register(within(t), discovery.Service{Name: name, Group: "dev", Index: index, State: discovery.Ready})
	if err != nil {
		t.Fatalf("register %s#%d: %v", name, index, err)
	}
	return l
}

func wantValue(t *testing.T, s *discovery.Snapshot, key, want string) {
	t.Helper()
	if got, ok := s.Value(key); !ok || got != want {
		t.Fatalf("value of %q = %q, %v; want %q", key, got, ok, want)
	}
}
