package discovery

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/davyxu/cellmesh_demo/util/discovery/store"
)

// What the state consists of; see package store for each.
type (
	Service  = store.Service
	State    = store.State
	Snapshot = store.Snapshot
	Op       = store.Op
	Change   = store.Change
	Event    = store.Event
)

// The states of a service. Only Ready wants new work.
const (
	Starting = store.Starting
	Ready    = store.Ready
	Draining = store.Draining
)

// Keys of Service.Meta that this project gives a meaning.
const (
	MetaHTTP    = "http"    // host:port of /metrics, /healthz, ...
	MetaWAN     = "wan"     // host:port that clients are told
	MetaPID     = "pid"     // process ID
	MetaVersion = "version" // of the program
	MetaWaits   = "waits"   // what a starting service waits for, as text for people
)

// Limits in bytes, if not said otherwise.
const (
	MaxKey   = store.MaxKey   // a key
	MaxValue = store.MaxValue // a value
	MaxOps   = store.MaxOps   // operations in a batch
	MaxBatch = store.MaxBatch // all keys and values of a batch
	MaxMeta  = store.MaxMeta  // address and metadata of a service
)

// Errors to be told apart with errors.Is. What is wrapped around them says which key, service or address it is about.
var (
	ErrConflict    = store.ErrConflict    // a condition of a batch does not hold; nothing of it was done
	ErrReplaced    = store.ErrReplaced    // another owner has registered the same service ID
	ErrInvalid     = store.ErrInvalid     // the request can never succeed as it is
	ErrTooLarge    = store.ErrTooLarge    // a limit above is exceeded
	ErrFull        = store.ErrFull        // the store as a whole is at its limit
	ErrNotFound    = store.ErrNotFound    // the registration is not there (any more)
	ErrStorage     = store.ErrStorage     // the engine cannot make it durable now; nothing was done, reading goes on
	ErrRefused     = store.ErrRefused     // the other side does not prove the cluster secret, is not whom TLS says, or speaks another version
	ErrUnavailable = store.ErrUnavailable // the engine cannot be reached; nothing was done
	ErrInDoubt     = store.ErrInDoubt     // no answer: it may have been done or not; read the state and decide again
	ErrClosed      = store.ErrClosed      // the registry or lease was closed

	// ErrHungUp is in Client.Connected: who is there ends connections at once, as with TLS on one side only.
	ErrHungUp = errors.New("it hung up at once")
)

// Registry is one process's handle on the services and values of its cluster. All methods may be called from any
// goroutine.
type Registry interface {
	// Snapshot returns the newest state that this process knows; never nil. It is empty and at revision 0 before the
	// first contact, and its revision only grows. One atomic load.
	Snapshot() *Snapshot

	// Wait returns the newest state as soon as its revision is above after. Changes in between may be skipped. It
	// fails with ctx's error, or with ErrClosed.
	Wait(ctx context.Context, after uint64) (*Snapshot, error)

	// Watch yields every change after the revision from, each event once, in order. It ends when ctx is done or the
	// registry is closed. When from is 0, or not within what is remembered (some thousand events; it is forgotten when
	// the engine lost its state), or when the loop's body is slower than the changes for too long, the next event is a
	// Reset and carries the whole state.
	Watch(ctx context.Context, from uint64) iter.Seq[Event]

	// Apply does a batch of operations on values: all or nothing. It returns the revision at which that is visible;
	// this handle's Snapshot has reached it. It waits for the engine to be reachable until ctx is done, then fails with
	// ErrUnavailable if nothing was sent, and with ErrInDoubt if the answer is missing. Other errors: ErrConflict,
	// ErrInvalid, ErrTooLarge, ErrFull, ErrStorage.
	Apply(ctx context.Context, ops ...Op) (revision uint64, err error)

	// Register enters a service; s.Index < 0 asks for the lowest free index; s.ID and s.Epoch are ignored. If the ID is
	// there already, it is replaced. It waits until the engine has answered or ctx is done; then the registration is
	// given up.
	Register(ctx context.Context, s Service) (Lease, error)

	// Close gives up all leases of this handle and ends everything that was begun with it. The last snapshot stays
	// readable.
	Close() error
}

// Lease is the right to a service ID. It is held by the process as long as it lives: there is nothing to renew.
type Lease interface {
	// Service returns the registration as this process wants it to be, with ID, Index and Epoch filled in.
	Service() Service

	// Update changes Addr, State or Meta; other fields are put back. The change is wanted from now on: if ctx ends before
	// the engine has answered, the error says so, and the change is made as soon as the engine is reachable again. Calls
	// take effect in the order in which they are made.
	Update(ctx context.Context, change func(*Service)) error

	// Close leaves: it removes this owner's registration and nobody else's. If the engine cannot be reached before ctx is
	// done, the registration goes when its time-to-live is over. Closing twice is no error.
	Close(ctx context.Context) error

	// Lost receives ErrReplaced (wrapped) when another process has taken the ID. It is closed after that, or by Close.
	Lost() <-chan error
}

// FormatID returns the ID of a service: "game#0@dev".
func FormatID(name string, index int, group string) string { return store.FormatID(name, index, group) }

// ParseID takes an ID apart. It fails with ErrInvalid when id is not name#index@group.
func ParseID(id string) (name string, index int, group string, err error) { return store.ParseID(id) }

// SetOp sets key to value.
func SetOp(key, value string) Op { return store.SetOp(key, value) }

// DeleteOp deletes key; deleting what is not there changes nothing.
func DeleteOp(key string) Op { return store.DeleteOp(key) }

// CheckOp changes nothing; it is there for its condition: CheckOp(k).IfValue(v).
func CheckOp(key string) Op { return store.CheckOp(key) }

// ClearOp deletes every key that begins with prefix.
func ClearOp(prefix string) Op { return store.ClearOp(prefix) }

// Set sets one value.
func Set(ctx context.Context, r Registry, key, value string) error {
	_, err := r.Apply(ctx, SetOp(key, value))
	if err != nil {
		return fmt.Errorf("set %q: %w", key, err)
	}
	return nil
}

// Delete deletes one value; deleting what is not there is no error.
func Delete(ctx context.Context, r Registry, key string) error {
	_, err := r.Apply(ctx, DeleteOp(key))
	if err != nil {
		return fmt.Errorf("delete %q: %w", key, err)
	}
	return nil
}

// Services yields the services of this name (of every name when it is empty) that r knows now.
//
// That this function and Values exist has a second effect: the compiler can then inline Snapshot.Services and
// Snapshot.Values into loops of packages that import only this one, which is what makes those loops free of
// allocations. The contract suite measures it.
func Services(r Registry, name string) iter.Seq[*Service] { return r.Snapshot().Services(name) }

// Values yields the keys that begin with prefix, in order, with their values, as r knows them now.
func Values(r Registry, prefix string) iter.Seq2[string, string] { return r.Snapshot().Values(prefix) }
