package server

import "sync/atomic"

// Stats counts what memsd has done since it was started, for metrics. How much there is now, Snapshot and Counters tell.
type Stats struct {
	Writes        atomic.Int64 // batches of values that were done
	Conflicts     atomic.Int64 // batches that were refused because a condition did not hold
	WriteFailures atomic.Int64 // batches that the disk did not take
	Commits       atomic.Int64 // times that writes were made durable, one or more batches at a time
	Events        atomic.Int64 // changes of the state
	Resets        atomic.Int64 // clients that had missed too much and had to fetch the whole state
	Registered    atomic.Int64 // services that came, or came back
	Replaced      atomic.Int64 // services whose ID another process has taken
	Left          atomic.Int64 // services that said goodbye
	Expired       atomic.Int64 // services that went without a goodbye
}

// Stats of this server. They may be read at any time.
func (s *Server) Stats() *Stats { return &s.stats }
