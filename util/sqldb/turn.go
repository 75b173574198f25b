package sqldb

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// A process that writes without a pause would have SQLite's lock again before
// another, which looks for it now and then, finds it free. Therefore who wants
// the lock first takes the turn, a lock on a file beside the database, and
// gives it back when it has the lock: the one that has just committed must wait
// for the turn until the one that waits has got its lock.
type turn struct {
	lock *flock.Flock
	path string
}

// lockPatience is how long a writer waits for other processes in all; lockLook
// is the time between two looks.
const (
	lockPatience = 10 * time.Second
	lockLook     = 500 * time.Microsecond
)

func newTurn(file string) *turn {
	path := filepath.Join(filepath.Dir(file), "."+filepath.Base(file)+".lock")
	return &turn{flock.New(path), path}
}

// take waits for the turn until ctx is done.
func (t *turn) take(ctx context.Context) error {
	got, err := t.lock.TryLockContext(ctx, lockLook)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return errLocked
	case err != nil:
		return fmt.Errorf("%w: lock %s: %w", ErrUnavailable, t.path, err)
	case !got:
		return errLocked
	}
	return nil
}

// give gives the turn back. The system does so too when the process ends.
func (t *turn) give() { _ = t.lock.Unlock() }
