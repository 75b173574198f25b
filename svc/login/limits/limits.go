// Package limits bounds how often strangers may do something, by what tells
// them apart: an address, an account. There is one file.
package limits

import (
	"hash/maphash"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Table is a rate for each of many keys. It is bounded: keys that have been
// quiet for so long that they may do all again are forgotten, and when there
// are too many keys the quieter half is. Any goroutine may use it.
type Table[K any] struct {
	rate  rate.Limit
	burst int
	most  int
	life  time.Duration // of a generation: in which a bucket fills up
	hash  func(K) uint64

	mu       sync.Mutex
	young    map[uint64]*rate.Limiter // keys are hashes: one that is long costs no more
	old      map[uint64]*rate.Limiter
	born     time.Time // when young was begun
	overflow int64
}

// New makes a table that lets each key do something perSecond times a second,
// and burst times at once; perSecond 0 means no limit. It keeps most keys. hash
// tells keys apart, whatever strangers choose theirs to be (hash/maphash).
func New[K any](perSecond float64, burst, most int, hash func(maphash.Seed, K) uint64) *Table[K] {
	seed := maphash.MakeSeed()
	t := &Table[K]{rate: rate.Limit(perSecond), burst: burst, most: most, hash: func(key K) uint64 { return hash(seed, key) }, born: time.Now(), young: map[uint64]*rate.Limiter{}}
	if perSecond > 0 {
		t.life = max(time.Duration(float64(burst)/perSecond*float64(time.Second)), time.Second)
	}
	return t
}

// Allow reports whether key may do it now, and counts that.
func (t *Table[K]) Allow(key K) bool {
	if t.rate == 0 {
		return true
	}
	now := time.Now()
	return t.limiter(t.hash(key), now).AllowN(now, 1)
}

func (t *Table[K]) limiter(h uint64, now time.Time) *rate.Limiter {
	t.mu.Lock()
	defer t.mu.Unlock()
	if full := len(t.young) >= t.most/2; full || now.Sub(t.born) >= t.life {
		if full && now.Sub(t.born) < t.life {
			t.overflow += int64(len(t.old)) // forgotten early
		}
		t.old, t.young, t.born = t.young, map[uint64]*rate.Limiter{}, now
	}
	l := t.young[h]
	if l == nil {
		if l = t.old[h]; l == nil {
			l = rate.NewLimiter(t.rate, t.burst)
		} else {
			delete(t.old, h)
		}
		t.young[h] = l
	}
	return l
}

// Len is how many keys are known.
func (t *Table[K]) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.young) + len(t.old)
}

// Overflow is how many keys were forgotten before their time.
func (t *Table[K]) Overflow() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.overflow
}
