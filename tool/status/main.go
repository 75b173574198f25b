// Status shows the cluster as a table: which services there are and where, how
// many players each has, its load, for how long it has been up, and whether it
// still says so:
//
//	go run ./tool/status
//	go run ./tool/status -json
//
// What needs looking at is red on a terminal. Discovery is asked for the services
// and a hub for the rest, which services tell it once a second; without a hub the
// table has only what discovery knows.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/term"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/hub/board"
	"github.com/davyxu/cellmesh_demo/svc/hub/hubapi"
)

func main() { basefx.Main("status", New, basefx.Guest) }

type status struct {
	json bool
	wait time.Duration

	app *basefx.App
	hub *hubapi.Hub
}

// New makes the tool and adds its flags.
func New(fs *flag.FlagSet) basefx.Service {
	s := &status{}
	fs.BoolVar(&s.json, "json", false, "for scripts")
	fs.DurationVar(&s.wait, "wait", 3*time.Second, "how long to wait for a hub")
	basefx.Default(fs, "loglevel", "error")
	basefx.Default(fs, "httpaddr", "")
	return s
}

// Start shows the table, and stops the process.
func (s *status) Start(_ context.Context, app *basefx.App) error {
	s.app, s.hub = app, hubapi.Join(app)
	app.Go("status", func(ctx context.Context) error {
		app.Stop(s.run(ctx))
		return nil
	})
	return nil
}

func (s *status) run(ctx context.Context) error {
	said, err := s.ask(ctx)
	if err != nil {
		fmt.Fprintln(s.app.Stderr, "status: only what discovery knows:", err)
	}
	rows := slices.DeleteFunc(board.Rows(s.app.Registry.Snapshot(), said), func(r board.Row) bool { return r.Service == s.app.Self().ID })
	if s.json {
		return board.JSON(s.app.Stdout, rows)
	}
	out, is := s.app.Stdout.(*os.File)
	return board.Text(s.app.Stdout, rows, is && term.IsTerminal(int(out.Fd())))
}

// ask asks a hub what the services say.
func (s *status) ask(ctx context.Context) (said []board.Heard, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.wait)
	defer cancel()
	ack, err := hubapi.Request[pb.StatusACK](ctx, s.hub, "hub", &pb.StatusREQ{})
	if err != nil {
		return nil, fmt.Errorf("%w (go run ./svc/hub)", err)
	}
	for _, h := range ack.Services {
		if h.Status != nil {
			said = append(said, board.Heard{ServiceStatus: h.Status, Age: time.Duration(h.AgeMs) * time.Millisecond})
		}
	}
	return said, nil
}
