package server

import (
	"bytes"
	"time"

	"github.com/davyxu/cellmesh_demo/util/discovery/store"
	"github.com/davyxu/cellmesh_demo/util/discovery/wire"
)

// This is how the core tells clients what has happened.

const (
	maxPush      = 1 << 20 // about how many bytes of events go into one frame
	maxTellPause = 50 * time.Millisecond
)

// publish makes the state visible. The file knows the revision before anybody sees it: after a crash it must not be
// given again. The watchers are told what happened at once, or when it is their turn.
func (c *core) publish(events ...store.Event) {
	if len(events) > 0 {
		c.note()
	}
	c.s.feed.Publish(c.store.Snapshot(), events...)
	c.s.stats.Events.Add(int64(len(events)))
	c.untold = append(c.untold, events...)
	c.tell(time.Now())
}

// tell sends the watchers what they have not been told. It does not begin again before as much time has passed as the
// last round took: so with a thousand watchers and a storm of changes, events travel together, and the core has half of
// its time for other things. With few watchers that is no time at all.
//
// A watcher that has come since may be told what it knows already; clients leave out what is not new.
func (c *core) tell(now time.Time) {
	if len(c.untold) == 0 || now.Before(c.tellAt) {
		return
	}
	var frames [][]byte
	ok := true
	if len(c.watchers) > 0 {
		frames, ok = encodeEvents(c.untold)
	}
	clear(c.untold)
	c.untold = c.untold[:0]
	for w := range c.watchers {
		c.push(w, frames, ok)
	}
	c.flush()
	end := time.Now()
	c.tellAt = end.Add(min(end.Sub(now), maxTellPause))
}

// push sends frames of events to one watcher; not ok: what happened is too much for frames, it has to fetch the state.
func (c *core) push(w *session, frames [][]byte, ok bool) {
	if !ok {
		delete(c.watchers, w) // until it asks again
		c.s.stats.Resets.Add(1)
		w.minimum.Store(c.s.feed.Snapshot().Revision())
		frames = [][]byte{[]byte(`{"reset":true}`)}
	}
	for _, f := range frames {
		c.append(w, f)
	}
}

// encodeEvents returns events as frames. It fails when one event does not fit.
func encodeEvents(events []store.Event) (frames [][]byte, ok bool) {
	var b bytes.Buffer
	for _, ev := range events {
		text, err := wire.Append(nil, wire.NewEvent(ev))
		if err != nil || len(text)+64 > wire.MaxFrame {
			return nil, false
		}
		if b.Len() > 0 && b.Len()+len(text) > maxPush {
			b.WriteString("]}")
			frames = append(frames, bytes.Clone(b.Bytes()))
			b.Reset()
		}
		if b.Len() == 0 {
			b.WriteString(`{"events":[`)
		} else {
			b.WriteByte(',')
		}
		b.Write(text)
	}
	if b.Len() > 0 {
		b.WriteString("]}")
		frames = append(frames, b.Bytes())
	}
	return frames, true
}

func (c *core) send(to *session, m *wire.Reply) {
	if b, err := wire.Append(nil, m); err == nil {
		c.append(to, b)
	} else {
		to.conn.Close(err)
	}
}

// append adds a frame to what waits for a client. A client that is too far behind is cut by its connection.
func (c *core) append(to *session, frame []byte) {
	if first, err := to.conn.Append(nil, frame); err == nil && first {
		c.touched = append(c.touched, to.conn)
	}
}

func (c *core) flush() {
	for _, conn := range c.touched {
		conn.Flush()
	}
	clear(c.touched)
	c.touched = c.touched[:0]
}
