package certfile

import (
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// lookAgain is how often files are looked at, at most.
const lookAgain = time.Second

// watched is what some files have, read again when they change.
type watched[T any] struct {
	what  string // for people
	files []string
	load  func() (T, error)
	log   *slog.Logger

	mu      sync.Mutex
	current T
	seen    []stamp // of the files when they were last read; nil: one was not there
	looked  time.Time
}

// stamp tells whether a file has changed. What is newer may well be in an older file.
type stamp struct {
	changed time.Time
	size    int64
}

func watch[T any](what string, files []string, log *slog.Logger, load func() (T, error)) (*watched[T], error) {
	w := &watched[T]{what: what, files: files, load: load, log: log}
	seen, err := w.stamps()
	if err == nil {
		w.current, err = load()
	}
	if err != nil {
		return nil, err
	}
	w.seen, w.looked = seen, time.Now()
	return w, nil
}

// get returns what the files had when they were last good.
func (w *watched[T]) get() T {
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Since(w.looked) < lookAgain {
		return w.current
	}
	w.looked = time.Now()
	seen, err := w.stamps() // before reading: what changes while we read is read again
	if slices.Equal(seen, w.seen) {
		return w.current
	}
	w.seen = seen
	var next T
	if err == nil {
		next, err = w.load()
	}
	if err != nil {
		w.log.Error(w.what+" not read again, the old one stays in force", "err", err)
		return w.current
	}
	w.current = next
	w.log.Info(w.what+" read again", "file", strings.Join(w.files, " "))
	return w.current
}

// stamps is nil with an error.
func (w *watched[T]) stamps() ([]stamp, error) {
	all := make([]stamp, len(w.files))
	for i, file := range w.files {
		info, err := os.Stat(file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", w.what, err)
		}
		all[i] = stamp{info.ModTime(), info.Size()}
	}
	return all, nil
}
