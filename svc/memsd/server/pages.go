package server

import (
	"fmt"
	"strconv"
	"sync"

	"github.com/davyxu/cellmesh_demo/util/discovery/store"
	"github.com/davyxu/cellmesh_demo/util/discovery/wire"
)

// pageSize is about how many bytes of keys, values and services go into one page.
const pageSize = 256 << 10

// reusePages is how many revisions a page set may be behind the present and still be given to the next client, which
// then gets the rest as events. So a thousand clients that come at once cost a few encodings, not a thousand.
const reusePages = 256

// pageSet is the whole state at one revision, encoded.
type pageSet struct {
	revision uint64
	pages    [][]byte
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
	set := &pageSet{revision: snap.Revision()}
	page := &wire.Page{Revision: snap.Revision()}
	size := 0
	flush := func(last bool) error {
		if !last {
			page.Next = len(set.pages) + 1
		}
		b, err := wire.Append(nil, page)
		set.pages = append(set.pages, b)
		page, size = &wire.Page{Revision: snap.Revision()}, 0
		return err
	}
	for svc := range snap.Services("") {
		page.Services = append(page.Services, svc)
		if size += 256; size > pageSize {
			if err := flush(false); err != nil {
				return nil, err
			}
		}
	}
	for k, v := range snap.Values("") {
		page.Values = append(page.Values, [2]string{k, v})
		if size += len(k) + len(v); size > pageSize {
			if err := flush(false); err != nil {
				return nil, err
			}
		}
	}
	return set, flush(true)
}

// page answers a page request, in the connection's goroutine.
func (c *session) page(r wire.Request) error {
	settling := c.s.core.settling.Load() // before the state is looked at: what is settled later is told as a push
	if r.Page == 0 {
		minimum := max(c.minimum.Load(), c.s.core.settled.Load())
		set, err := c.s.pages.get(c.s.feed, minimum)
		if err != nil {
			return err
		}
		c.pages = set
	}
	if c.pages == nil || r.Page >= len(c.pages.pages) {
		return fmt.Errorf("%w: no page %d", wire.ErrBadMessage, r.Page)
	}
	head := strconv.AppendUint([]byte(`{"id":`), r.ID, 10)
	head = append(head, `,"settling":`...)
	head = strconv.AppendBool(head, settling)
	head = append(head, `,"page":`...)
	body := c.pages.pages[r.Page]
	if r.Page == len(c.pages.pages)-1 {
		c.pages = nil
	}
	return c.conn.Send(head, append(body[:len(body):len(body)], '}'))
}
