package gateway

import (
	"sync/atomic"

	"github.com/davyxu/cellmesh_demo/basefx/link"
)

// kindBits is how many features, the first ones, tell clients into kinds.
const kindBits = 4

// kinds count the verified clients by their features, so that a message for a
// kind of which there is none costs no look at each client. The zero value is
// ready.
type kinds [1 << kindBits]atomic.Int64

// of is the count of those with these features. It is raised before a client's
// identity is stored, and lowered when it is found no more: whoever is to be found
// is counted.
func (k *kinds) of(features uint32) *atomic.Int64 { return &k[features%(1<<kindBits)] }

// none reports whether a filter certainly passes nobody.
func (k *kinds) none(f link.Filter) bool {
	if f.Features()>>kindBits != 0 {
		return false
	}
	for features := range k {
		if f.Passes(uint32(features)) && k[features].Load() != 0 {
			return false
		}
	}
	return true
}
