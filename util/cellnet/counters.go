package cellnet

import "sync/atomic"

// Counters tell what sessions and acceptors did. All only grow, but for Open.
type Counters struct {
	Open      atomic.Int64 // sessions being read right now
	Reads     atomic.Int64 // reads that brought bytes
	BytesIn   atomic.Int64
	FramesIn  atomic.Int64
	Writes    atomic.Int64 // writes that took bytes
	BytesOut  atomic.Int64 // bytes the system took
	FramesOut atomic.Int64 // frames the system took whole
	Blocked   atomic.Int64 // times a socket was full and a writer goroutine took over
	SlowCut   atomic.Int64 // sessions cut with ErrSlowConsumer or ErrWriteTimeout
	Refused   atomic.Int64 // frames refused with ErrFull

	Accepted      atomic.Int64 // connections accepted, also those rejected afterwards
	OverLimit     atomic.Int64 // rejected: Acceptor.MaxConns reached
	OverAddrLimit atomic.Int64 // rejected: Acceptor.MaxPerAddr reached
	BadHandshake  atomic.Int64 // rejected: silence, bad upgrade, TLS or the lack of it
	OpenRefused   atomic.Int64 // refused by Acceptor.Open
}

// Sessions count through these, which a nil Counters takes too. They are called
// once for a read or write, not for every frame.

func (c *Counters) opened(n int64) {
	if c != nil {
		c.Open.Add(n)
	}
}

func (c *Counters) read(bytes int) {
	if c != nil {
		c.Reads.Add(1)
		c.BytesIn.Add(int64(bytes))
	}
}

func (c *Counters) received(frames int) {
	if c != nil && frames > 0 {
		c.FramesIn.Add(int64(frames))
	}
}

func (c *Counters) wrote(bytes int) {
	if c != nil {
		c.Writes.Add(1)
		c.BytesOut.Add(int64(bytes))
	}
}

func (c *Counters) sent(frames int) {
	if c != nil {
		c.FramesOut.Add(int64(frames))
	}
}

func (c *Counters) blocked() {
	if c != nil {
		c.Blocked.Add(1)
	}
}

func (c *Counters) refused() {
	if c != nil {
		c.Refused.Add(1)
	}
}

func (c *Counters) slowCut() {
	if c != nil {
		c.SlowCut.Add(1)
	}
}
