package main

import (
	"sync/atomic"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/svc/memsd/server"
)

// metrics shows what a server counts at /metrics.
func metrics(app *basefx.App, s *server.Server) {
	app.SessionMetrics("discovery", s.Counters())
	st := s.Stats()
	for _, c := range []struct {
		name, help string
		n          *atomic.Int64
	}{
		{"writes_total", "Batches of values that were done.", &st.Writes},
		{"conflicts_total", "Batches that were refused because a condition did not hold.", &st.Conflicts},
		{"write_failures_total", "Batches that the disk did not take.", &st.WriteFailures},
		{"commits_total", "Times that writes were made durable, one or more batches at a time.", &st.Commits},
		{"events_total", "Changes of the state.", &st.Events},
		{"resets_total", "Clients that had missed too much and had to fetch the whole state.", &st.Resets},
		{"registered_total", "Services that came, or came back.", &st.Registered},
		{"replaced_total", "Services whose ID another process has taken.", &st.Replaced},
		{"left_total", "Services that said goodbye.", &st.Left},
		{"expired_total", "Services that went without a goodbye.", &st.Expired},
	} {
		app.Counter("memsd_"+c.name, c.help, nil, func() float64 { return float64(c.n.Load()) })
	}
	for name, of := range map[string]func() int{
		"services": func() int { n, _ := s.Snapshot().Len(); return n },
		"keys":     func() int { _, n := s.Snapshot().Len(); return n },
		"bytes":    func() int { return s.Snapshot().Bytes() },
	} {
		app.Gauge("memsd_"+name, "How much there is now: "+name+".", nil, func() float64 { return float64(of()) })
	}
}
