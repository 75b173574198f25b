package channel

import (
	"strings"
	"sync"
)

// maxKnown bounds the channels whose subscribers are known without looking
// through the patterns; when there are more, all are forgotten.
const maxKnown = 1 << 14

// Table knows who has subscribed to what. S is a subscriber. Any goroutine may
// use it; the zero Table is ready.
type Table[S comparable] struct {
	mu       sync.RWMutex
	channels map[string]map[S]struct{} // without wildcards
	patterns map[string]map[S]struct{} // with
	known    map[string][]S            // by channel; each slice never changes
}

// Add subscribes s to a pattern, which has been checked; false if it was
// already.
func (t *Table[S]) Add(pattern string, s S) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	to := &t.channels
	if IsPattern(pattern) {
		to = &t.patterns
	}
	if *to == nil {
		*to = map[string]map[S]struct{}{}
	}
	if (*to)[pattern] == nil {
		(*to)[strings.Clone(pattern)] = map[S]struct{}{}
	}
	if _, is := (*to)[pattern][s]; is {
		return false
	}
	(*to)[pattern][s] = struct{}{}
	t.known = nil
	return true
}

// Remove takes back Add; false if there is nothing to take back.
func (t *Table[S]) Remove(pattern string, s S) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	from := t.channels
	if IsPattern(pattern) {
		from = t.patterns
	}
	return t.remove(from, pattern, s)
}

// RemoveAll takes back every Add of s.
func (t *Table[S]) RemoveAll(s S) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, from := range []map[string]map[S]struct{}{t.channels, t.patterns} {
		for pattern := range from {
			t.remove(from, pattern, s)
		}
	}
}

func (t *Table[S]) remove(from map[string]map[S]struct{}, pattern string, s S) bool {
	if _, is := from[pattern][s]; !is {
		return false
	}
	delete(from[pattern], s)
	if len(from[pattern]) == 0 {
		delete(from, pattern)
	}
	t.known = nil
	return true
}

// Len is how many different patterns are subscribed to.
func (t *Table[S]) Len() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.channels) + len(t.patterns)
}

// Match returns the subscribers of a channel, each once, in no order. The slice
// is shared: do not change it. The channel's bytes are not kept.
func (t *Table[S]) Match(name string) []S {
	t.mu.RLock()
	all, ok := t.known[name]
	t.mu.RUnlock()
	if ok {
		return all
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.look(name)
}

// look goes through the patterns. The caller holds mu for writing.
func (t *Table[S]) look(name string) []S {
	var all []S
	seen := map[S]struct{}{}
	add := func(subscribers map[S]struct{}) {
		for s := range subscribers {
			if _, twice := seen[s]; !twice {
				seen[s] = struct{}{}
				all = append(all, s)
			}
		}
	}
	add(t.channels[name])
	for pattern, subscribers := range t.patterns {
		if Match(pattern, name) {
			add(subscribers)
		}
	}
	if t.known == nil || len(t.known) >= maxKnown {
		t.known = map[string][]S{}
	}
	t.known[strings.Clone(name)] = all
	return all
}
