package broker

import (
	"context"
	"net/http"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/hub/board"
)

// tellStatus answers who asks how all services are doing.
func (b *Broker) tellStatus(context.Context, string, *pb.StatusREQ) (*pb.StatusACK, error) {
	ack := &pb.StatusACK{}
	for _, s := range b.hub.Statuses() {
		ack.Services = append(ack.Services, &pb.StatusACK_Heard{Status: s.ServiceStatus, AgeMs: s.Age().Milliseconds()})
	}
	return ack, nil
}

// showStatus is the page /status: the cluster as a table, renewed every second;
// with ?json for scripts.
func (b *Broker) showStatus(w http.ResponseWriter, r *http.Request) {
	var said []board.Heard
	for _, s := range b.hub.Statuses() {
		said = append(said, board.Heard{ServiceStatus: s.ServiceStatus, Age: s.Age()})
	}
	rows := board.Rows(b.app.Registry.Snapshot(), said)
	// If it cannot be written, whoever asked is gone.
	if r.URL.Query().Has("json") {
		w.Header().Set("Content-Type", "application/json")
		_ = board.JSON(w, rows)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Refresh", "1")
	_ = board.Text(w, rows, false)
}
