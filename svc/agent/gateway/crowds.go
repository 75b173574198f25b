package gateway

import (
	"sync"

	"github.com/davyxu/cellmesh_demo/basefx/link"
)

// crowds count the clients that are bound to each link, so that new ones go
// where there are few.
type crowds struct {
	mu sync.Mutex // a leaf: nothing is locked under it
	n  map[*link.Link]int
}

// move counts a client that goes from one link to another; nil is nowhere.
func (cs *crowds) move(from, to *link.Link) {
	if from == to {
		return
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if from != nil {
		if cs.n[from]--; cs.n[from] == 0 {
			delete(cs.n, from)
		}
	}
	if to != nil {
		if cs.n == nil {
			cs.n = map[*link.Link]int{}
		}
		cs.n[to]++
	}
}

// of is how many clients are bound to l.
func (cs *crowds) of(l *link.Link) int {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return cs.n[l]
}
