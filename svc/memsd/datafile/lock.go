package datafile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/gofrs/flock"
)

// ErrLocked is wrapped by the error of Open when another process has the data file.
var ErrLocked = errors.New("data file is in use")

// lock is held by the one process that may use the data file. The system lets go of it when that process ends, however it
// ends; the lock file stays and means nothing by itself.
type lock struct {
	f *flock.Flock
}

// Byte 0 of the lock file is what Windows locks, so that nobody else can read it; who has the lock is said behind it.
const ownerAt = 1

func takeLock(path string) (*lock, error) {
	f := flock.New(path)
	got, err := f.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock data file: %w", err)
	}
	if !got {
		return nil, fmt.Errorf("%w by %s", ErrLocked, owner(path))
	}
	l := &lock{f: f}
	return l, l.say(fmt.Sprintf("process %d", os.Getpid()))
}

// say writes who has the lock.
func (l *lock) say(who string) error {
	// The lock's own handle may be one for reading only.
	f, err := os.OpenFile(l.f.Path(), os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("lock data file: %w", err)
	}
	err = f.Truncate(ownerAt)
	if err == nil {
		_, err = f.WriteAt([]byte(who+"\n"), ownerAt)
	}
	return errors.Join(err, f.Close())
}

func owner(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return "another process"
	}
	defer f.Close()
	b, _ := io.ReadAll(io.NewSectionReader(f, ownerAt, 200))
	if who := strings.TrimSpace(string(b)); who != "" {
		return who
	}
	return "another process"
}

func (l *lock) release() error {
	return errors.Join(l.say(""), l.f.Unlock())
}
