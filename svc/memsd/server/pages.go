package server

import (
	"fmt"
	"sync"

	"github.com/davyxu/cellmesh_demo/util/discovery/store"
	"github.com/davyxu/cellmesh_demo/util/discovery/wire"
)

// pageSize is about how many bytes of keys, values and services go into one page.
const pageSize = 256 << 10

// reusePages is how many revisions a page set may be behind the present and still be given to the next client, which
// then gets the rest as events. So a thousand clients that come at once cost a few encodings, not a thousand.
const reusePages = 256

// pageSet is the whole state at one revision, encoded: first the services, then the values.
type pageSet struct {
	revision uint64
	valuesAt uint64
	pages    [][]byte
	services int // how many of them have the services
}

// pages holds the newest page set.
type pages struct {
	mu  sync.Mutex
	set *pageSet
}

// get returns a page set of the revision minimum or newer.
func (p *pages) get(feed *store.Feed, minimum uint64) (*pageSet, error) {
	p.mu.Lock() // also so that only one goroutine encodes
	defer p.mu.Unlock()
	snap := feed.Snapshot()
	if p.set != nil && p.set.revision >= minimum && p.set.revision+reusePages >= snap.Revision() {
		return p.set, nil
	}
	set, err := encodePages(snap)
	if err == nil {
		p.set = set
	}
	return set, err
}

func encodePages(snap *store.Snapshot) (*pageSet, error) {
	set := &pageSet{revision: snap.Revision(), valuesAt: snap.ValuesRevision()}
	page, size := new(wire.Page), 0
	flush := func() error {
		page.Revision, page.ValuesAt = set.revision, set.valuesAt
		b, err := wire.Append(nil, page)
		set.pages = append(set.pages, b)
		page, size = new(wire.Page), 0
		return err
	}
	for svc := range snap.Services("") {
		page.Services = append(page.Services, wire.NewService(svc))
		if size += 256; size > pageSize {
			if err := flush(); err != nil {
				return nil, err
			}
		}
	}
	if err := flush(); err != nil { // also if there is none: somebody has to say so
		return nil, err
	}
	set.services = len(set.pages)
	for k, v := range snap.Values("") {
		page.Values = append(page.Values, [2]string{k, v})
		if size += len(k) + len(v); size > pageSize {
			if err := flush(); err != nil {
				return nil, err
			}
		}
	}
	if len(page.Values) > 0 {
		return set, flush()
	}
	return set, nil
}

// reading is how far a client has come with a page set.
type reading struct {
	set  *pageSet
	same bool // it has the values
}

// page answers a page request, in the connection's goroutine.
func (c *session) page(r wire.Request) error {
	settling := c.s.core.settling.Load() // before the state is looked at: what is settled later is told as a push
	if r.Page == 0 {
		set, err := c.s.pages.get(c.s.feed, max(c.minimum.Load(), c.s.core.settled.Load()))
		if err != nil {
			return err
		}
		c.reading = reading{set: set, same: r.Data == c.s.data && r.Values == set.valuesAt}
	}
	set := c.reading.set
	if set == nil || r.Page >= len(set.pages) {
		return fmt.Errorf("%w: no page %d", wire.ErrBadMessage, r.Page)
	}
	next := r.Page + 1
	if next == len(set.pages) || c.reading.same && next == set.services {
		next = 0
	}
	head := fmt.Appendf(nil, `{"id":%d,"settling":%t,"same":%t,"next":%d,"page":`, r.ID, settling, c.reading.same, next)
	body := set.pages[r.Page]
	if next == 0 {
		c.reading = reading{}
	}
	return c.conn.Send(head, append(body[:len(body):len(body)], '}'))
}
