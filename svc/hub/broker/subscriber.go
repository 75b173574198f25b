package broker

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/hub/hubapi"
	"github.com/davyxu/cellmesh_demo/util/cellnet"
)

// resumeEvery is how soon a subscriber that has caught up is told what it has
// missed, if nothing else is published.
const resumeEvery = 100 * time.Millisecond

// subscriber is who gets messages: the other end of a link, or this process. One
// that does not keep up (-maxpending) is cut off: it is sent nothing more until it
// has read three quarters of what waits for it; then it is told, in the place
// where they are missing, how many messages it was not sent. Nobody else notices.
type subscriber struct {
	broker *Broker
	link   *link.Link
	local  func(p *pb.HubPublish, via hubapi.Via) // instead of a link

	cut atomic.Bool // written under mu

	mu     sync.Mutex
	missed uint64
}

// append has a frame's body written when somebody flushes: the caller, with
// first.
func (s *subscriber) append(body []byte) (first, ok bool) {
	if !s.cut.Load() {
		first, err := s.link.Append(link.Control, 0, pb.HubPublishID, body)
		if err == nil {
			return first, true
		}
		if !errors.Is(err, cellnet.ErrFull) {
			return false, false // the link has ended
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cut.Load() && s.rejoin() {
		if _, err := s.link.Append(link.Control, 0, pb.HubPublishID, body); err == nil {
			return true, true // rejoin may have been first
		}
	}
	if !s.cut.Swap(true) {
		s.broker.cuts.Add(1)
		s.broker.log.Warn("subscriber does not keep up: it is cut off until it does", "subscriber", s.link.ID, "bytes", s.link.Pending())
	}
	s.missed++
	return false, false
}

// rejoin lets a subscriber that has caught up in again, and tells it. The caller
// holds mu, and flushes if it did.
func (s *subscriber) rejoin() bool {
	if s.link.Pending() > s.broker.maxPending/4 {
		return false
	}
	body, err := proto.Marshal(&pb.HubMissed{Messages: s.missed})
	if err != nil {
		return false
	}
	if _, err := s.link.Append(link.Control, 0, pb.HubMissedID, body); err != nil {
		return false
	}
	s.broker.log.Info("subscriber keeps up again", "subscriber", s.link.ID, "missed", s.missed)
	s.missed = 0
	s.cut.Store(false)
	return true
}

// resume looks after subscribers that have been cut off, in case nobody publishes
// what would do so.
func (b *Broker) resume(ctx context.Context) error {
	tick := time.NewTicker(resumeEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		for _, s := range b.cutOff() {
			s.mu.Lock()
			rejoined := s.cut.Load() && s.rejoin()
			s.mu.Unlock()
			if rejoined {
				s.link.Flush()
			}
		}
	}
}

func (b *Broker) cutOff() (all []*subscriber) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.links {
		if s.cut.Load() {
			all = append(all, s)
		}
	}
	return all
}
