// Package chat is the social service: what players say to each other. So far
// there is the world, where everybody hears everybody. There is one file.
package chat

import (
	"context"
	"flag"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/agent/agentapi"
	"github.com/davyxu/cellmesh_demo/svc/hub/hubapi"
	"github.com/davyxu/cellmesh_demo/util/msgmux"
)

// Social is the social service.
type Social struct {
	mux     *msgmux.Mux[*agentapi.Client]
	clients *agentapi.Server
}

// New makes the social service.
func New(*flag.FlagSet) basefx.Service {
	s := &Social{mux: msgmux.New[*agentapi.Client]()}
	msgmux.HandleOneWay(s.mux, s.chat)
	return s
}

// Start wires the social service.
func (s *Social) Start(ctx context.Context, app *basefx.App) (err error) {
	if err := agentapi.Check("social", s.mux); err != nil {
		return err
	}
	hub := hubapi.Join(app)
	hub.ReportStatus(func() *pb.ServiceStatus { return &pb.ServiceStatus{Players: uint32(s.clients.Clients())} })
	s.clients, err = agentapi.Serve(ctx, app, s)
	return err
}

// chat shows a line to everybody, its sender too.
func (s *Social) chat(_ context.Context, _ *agentapi.Client, req *pb.ChatREQ) error {
	return s.clients.Broadcast(&pb.ChatACK{Content: req.Content})
}

// Opened has nothing to prepare for a client.
func (s *Social) Opened(context.Context, *agentapi.Client) error { return nil }

// Message hands a client's message to its handler.
func (s *Social) Message(ctx context.Context, c *agentapi.Client, id uint16, body []byte) (msgmux.Message, error) {
	return s.mux.Dispatch(ctx, c, id, body)
}

// Closed has nothing to give back.
func (s *Social) Closed(context.Context, *agentapi.Client, string) {}
