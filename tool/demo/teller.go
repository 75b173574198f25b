package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// teller writes what the launcher says. It goes to standard error, so that
// standard output has the client's lines alone.
type teller struct {
	terminal bool

	mu    sync.Mutex
	out   *os.File
	shown bool // a progress line stands where the next line goes
}

func newTeller(out *os.File) *teller {
	return &teller{out: out, terminal: term.IsTerminal(int(out.Fd()))}
}

// line writes a line, or several.
func (t *teller) line(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.clear()
	fmt.Fprintf(t.out, format+"\n", args...)
}

// every shows a line that changes, on a terminal. stop takes it away.
func (t *teller) every(interval time.Duration, text func() string) (stop func()) {
	if !t.terminal {
		return func() {}
	}
	end := make(chan struct{})
	var showing sync.WaitGroup
	showing.Go(func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				t.show(text())
			case <-end:
				return
			}
		}
	})
	return func() {
		close(end)
		showing.Wait()
		t.mu.Lock()
		defer t.mu.Unlock()
		t.clear()
	}
}

func (t *teller) show(s string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if width, _, err := term.GetSize(int(t.out.Fd())); err == nil && len(s) >= width {
		s = s[:max(0, width-1)]
	}
	t.clear()
	fmt.Fprint(t.out, s)
	t.shown = true
}

// clear takes the progress line away. The caller holds mu.
func (t *teller) clear() {
	if !t.shown {
		return
	}
	t.shown = false
	if width, _, err := term.GetSize(int(t.out.Fd())); err == nil {
		fmt.Fprint(t.out, "\r", strings.Repeat(" ", max(0, width-1)), "\r")
	} else {
		fmt.Fprintln(t.out)
	}
}
