package agentapi

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/proto/pb"
)

// Retire ends what this backend does for clients, without loss. It asks all agents
// to send no more messages of clients, has those that came before handled to the
// end, with Closed last for each client, and returns when the agents have taken
// all that was said about it. Until the links end, which is for the caller to do
// soon, agents let messages wait; then another instance of the service gets the
// clients, with the groups they are in by then. So no message is lost, none is
// handled twice, and a client's messages are handled in order; also what is pushed
// to others arrives in that order.
//
// It is for Drain: this backend must have left discovery. An error names the
// agents that have not answered, or says that ctx is done before all is handled:
// what is lost then is what is lost when a process is killed.
func (s *Server) Retire(ctx context.Context) error {
	if err := s.retireAt(ctx, s.links.Named("agent")); err != nil {
		return err
	}
	for s.clients.Load() > 0 {
		select {
		case <-s.emptied:
		case <-ctx.Done():
			return fmt.Errorf("messages of %d clients are not handled yet: %w", s.clients.Load(), context.Cause(ctx))
		}
	}
	return s.retireAt(ctx, s.links.Named("agent")) // now they have taken what we said
}

// retireAt returns when these agents have answered; or have gone, with their
// clients.
func (s *Server) retireAt(ctx context.Context, agents []*link.Link) error {
	var all sync.WaitGroup
	failed := make([]error, len(agents))
	for i, l := range agents {
		all.Go(func() {
			failed[i] = s.ask(ctx, l, func(n uint64) pb.Message { return &pb.RetireREQ{Call: n} }, func(pb.Message) bool { return false })
			if l.Ended() != nil {
				failed[i] = nil
			}
		})
	}
	all.Wait()
	return errors.Join(failed...)
}

// retired is an agent saying that it sends no more messages of clients. It may
// introduce some yet, before it hears that we are gone.
func (s *Server) retired(l *link.Link, _ uint64, m *pb.RetireACK) error {
	if a := s.agentOf(l); a != nil && !a.retired {
		a.retired = true
		a.closeAll("handed over")
	}
	s.calls.answer(l, m.Call, m)
	return nil
}
