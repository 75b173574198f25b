package hubapi

import "testing"

// The backlog is bounded in messages and in bytes, and keeps the newest.
func TestBacklogBounds(t *testing.T) {
	var dropped int
	empty := func() *hubs { dropped = 0; return &hubs{events: Events{Dropped: func() { dropped++ }}} }
	h := empty()
	for i := range maxBacklog + 10 {
		h.keep([]byte{byte(i), byte(i >> 8), 0})
	}
	if len(h.backlog) != maxBacklog || h.backlog[0][0] != 10 || h.bytes != 3*maxBacklog || dropped != 10 {
		t.Errorf("%d messages from %d, %d bytes, %d dropped", len(h.backlog), h.backlog[0][0], h.bytes, dropped)
	}
	h = empty()
	large := func(i, n int) []byte { b := make([]byte, n); b[0] = byte(i); return b }
	for i := range 20 {
		h.keep(large(i, maxBacklogBytes/10))
	}
	if len(h.backlog) != 10 || h.backlog[9][0] != 19 || h.bytes > maxBacklogBytes {
		t.Errorf("%d messages, %d bytes", len(h.backlog), h.bytes)
	}
	h.keep(large(20, 2*maxBacklogBytes))
	if len(h.backlog) != 1 || h.backlog[0][0] != 20 {
		t.Errorf("%d messages: one that is larger than all must stand alone", len(h.backlog))
	}
	h.pop()
	if len(h.backlog) != 0 || h.bytes != 0 {
		t.Errorf("%d messages, %d bytes in an empty backlog", len(h.backlog), h.bytes)
	}
}
