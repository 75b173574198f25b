// Package choice decides which agent and which game a client is sent to.
//
// A [Chooser] knows what can be chosen, from discovery, and how many players
// each has, from what they say about themselves through hub. Which one it is to
// be, a [Strategy] says. Open strategy.go first; chooser.go has what is known
// of each candidate, versions.go the rules by which the client's version counts.
package choice

import (
	"math/rand/v2"

	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// Request is for whom one is chosen.
type Request struct {
	Version string // of the client
	Group   string // service group that it is sent to; "": those that -linkrule allows
}

// Candidate is a service that may be chosen.
type Candidate struct {
	*discovery.Service
	// Players is how many it has, as far as can be known: those it told of, and
	// those sent to it since.
	Players float64
	// Doubt says how much of that is a guess: 0 is nothing, for one that has
	// told lately; 1 is all.
	Doubt float64
}

// Strategy chooses. Any goroutine may call it.
type Strategy interface {
	// Pick returns the index of one of from, which is not empty and valid until
	// it returns.
	Pick(r Request, from []Candidate) int
}

// Two is the default Strategy: of two at random, which may be the same one, it
// picks the one with fewer players. That keeps the numbers nearly even without
// everybody running to the same place: an empty one among n gets twice its even
// share, less a little, until it is as full as the others.
type Two struct{}

// Pick picks.
func (Two) Pick(_ Request, from []Candidate) int {
	a, b := rand.IntN(len(from)), rand.IntN(len(from))
	if from[b].Players < from[a].Players {
		return b
	}
	return a
}

// Prefer is a Strategy that leaves the choice to another one, but only among
// the services whose metadata says so, as long as there are any: those in a
// region, or of a version of the program (discovery.MetaVersion). It is also the
// example of a Strategy of one's own.
type Prefer struct {
	Key, Value string // of discovery.Service.Meta
	Next       Strategy
}

// Pick picks.
func (p Prefer) Pick(r Request, from []Candidate) int {
	var some []Candidate
	var index []int
	for i, c := range from {
		if c.Meta[p.Key] == p.Value {
			some, index = append(some, c), append(index, i)
		}
	}
	if len(some) == 0 {
		return p.Next.Pick(r, from)
	}
	return index[p.Next.Pick(r, some)]
}
