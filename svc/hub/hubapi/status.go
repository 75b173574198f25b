package hubapi

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/proto/pb"
)

// statusChannel carries a ServiceStatus of every service once a second.
const statusChannel = "status"

const statusEvery = time.Second

// forgetAfter is when the status of a service that no longer reports is
// dropped.
const forgetAfter = time.Minute

// Status is what a service last said about itself.
type Status struct {
	*pb.ServiceStatus
	At time.Time // when it arrived here, by our own clock
}

// Age is how old s is.
func (s Status) Age() time.Duration { return time.Since(s.At) }

// statuses keeps the newest status of each service.
type statuses struct {
	mu   sync.Mutex
	last map[string]Status
}

func (s *statuses) put(from string, m *pb.ServiceStatus, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.last[from]; ok && old.Epoch > m.Epoch && now.Sub(old.At) < forgetAfter {
		return // of a process that has been replaced
	}
	if s.last == nil {
		s.last = map[string]Status{}
	}
	s.last[from] = Status{m, now}
}

func (s *statuses) get(svcid string, now time.Time) (Status, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last, ok := s.last[svcid]
	return last, ok && now.Sub(last.At) < forgetAfter
}

func (s *statuses) all(now time.Time) (all []Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(s.last)) {
		if last := s.last[id]; now.Sub(last.At) < forgetAfter {
			all = append(all, last)
		}
	}
	return all
}

func (s *statuses) forget(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, last := range s.last {
		if now.Sub(last.At) >= forgetAfter {
			delete(s.last, id)
		}
	}
}

// ReportStatus publishes what measure says, once a second and when a hub has
// come, filled in with who we are, and with the load of the processors if measure
// knows no better one. Values are absolute: one that is lost harms
// nothing, so without a hub none is kept. For Start only, once.
func (h *Hub) ReportStatus(measure func() *pb.ServiceStatus) {
	var cpu load
	h.every("status", h.came, func(ctx context.Context) {
		if !h.engine.Up() {
			return
		}
		s := h.describe(measure())
		if now := cpu.since(time.Now()); s.Load == 0 {
			s.Load = now
		}
		if err := h.Publish(ctx, statusChannel, s); err != nil {
			h.log.Debug("status not published", "err", err) // the next one follows in a second
		}
	})
}

// maxLinks bounds the links that a status names.
const maxLinks = 256

// describe adds who we are to what a service has measured.
func (h *Hub) describe(s *pb.ServiceStatus) *pb.ServiceStatus {
	self := h.app.Self()
	s.Svcid, s.Epoch, s.UnixMs = self.ID, self.Epoch, time.Now().UnixMilli()
	s.Draining = s.Draining || h.app.Stopping()
	s.Version, s.UptimeMs = basefx.Version(), time.Since(h.began).Milliseconds()
	for _, l := range h.app.Links.All() {
		s.Links = append(s.Links, l.ID)
	}
	slices.Sort(s.Links)
	s.Links = s.Links[:min(len(s.Links), maxLinks)]
	return s
}

// WatchStatus begins to collect what services report. For Start only.
func (h *Hub) WatchStatus() {
	Subscribe(h, statusChannel, func(from string, m *pb.ServiceStatus) { h.statuses.put(from, m, time.Now()) })
	h.every("forget statuses", nil, func(context.Context) { h.statuses.forget(time.Now()) })
}

// every runs f once a second, and when now says so, until the process has
// drained.
func (h *Hub) every(name string, now <-chan struct{}, f func(context.Context)) {
	h.app.Go(name, func(ctx context.Context) error {
		t := time.NewTicker(statusEvery)
		defer t.Stop()
		for {
			select {
			case <-t.C:
			case <-now:
			case <-ctx.Done():
				return nil
			}
			f(ctx)
		}
	})
}

// Statuses are the newest status of every service that has reported within the
// last minute, by svcid. WatchStatus must have been called.
func (h *Hub) Statuses() []Status { return h.statuses.all(time.Now()) }

// Status is the newest status of svcid, if it has reported within the last
// minute. WatchStatus must have been called.
func (h *Hub) Status(svcid string) (Status, bool) { return h.statuses.get(svcid, time.Now()) }
