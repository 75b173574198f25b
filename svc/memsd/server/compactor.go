package server

import (
	"time"

	"github.com/davyxu/cellmesh_demo/svc/memsd/datafile"
	"github.com/davyxu/cellmesh_demo/util/discovery/store"
)

// When the journal is put into the data file: when nothing was written for a while, so that people find there what is
// set; and whatever goes on when it has become long, also compared with what the data file will have.
const (
	compactQuiet = 500 * time.Millisecond
	compactLeast = 4 << 20
	compactMost  = 64 << 20
	compactRetry = 30 * time.Second // after a failure
)

// compactor moves what the journal has into the data file, in the background. The core's goroutine uses it.
type compactor struct {
	file *datafile.File // nil: there is nothing to do
	feed *store.Feed
	done chan *datafile.Compaction // what was begun is written; holds one

	running   bool
	dirty     int64     // when last looked at
	begin     time.Time // when to begin, if nothing is written until then
	notBefore time.Time // because the last one failed
}

// due begins a compaction if it is time, and returns when to look again; zero: no need.
func (c *compactor) due(now time.Time) time.Time {
	if c.file == nil || c.running {
		return time.Time{}
	}
	dirty := c.file.Dirty()
	if dirty != c.dirty {
		c.dirty, c.begin = dirty, now.Add(compactQuiet)
		if dirty >= min(max(compactLeast, 2*int64(c.feed.Snapshot().Bytes())), compactMost) {
			c.begin = now
		}
	}
	if dirty == 0 {
		return time.Time{}
	}
	if now.Before(c.begin) || now.Before(c.notBefore) {
		return latest(c.begin, c.notBefore)
	}
	c.running = true
	job := c.file.Begin(c.feed.Snapshot())
	go func() { // ends by itself; stop waits for it
		job.Write()
		c.done <- job
	}()
	return time.Time{}
}

// finish takes what is written.
func (c *compactor) finish(job *datafile.Compaction) {
	c.running = false
	if c.file.Finish(job) != nil { // it has been logged
		c.notBefore = time.Now().Add(compactRetry)
	}
}

// stop waits for what is under way.
func (c *compactor) stop() {
	if c.running {
		c.finish(<-c.done)
	}
}

func latest(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
