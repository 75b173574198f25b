package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/svc/memsd/command"
	"github.com/davyxu/cellmesh_demo/svc/memsd/server"
)

// daemon is memsd as a program.
type daemon struct {
	addr   string
	file   string
	cmd    string
	asJSON bool
}

func newDaemon(fs *flag.FlagSet) basefx.Service {
	d := &daemon{}
	fs.StringVar(&d.addr, "addr", "127.0.0.1:8900", "listen here; port 0 is any free one")
	fs.StringVar(&d.file, "datafile", "persist.json", "where the values are kept; empty: nowhere")
	fs.StringVar(&d.cmd, "cmd", "", "ask the memsd at -sdaddr instead of being one:\n"+command.Usage())
	fs.BoolVar(&d.asJSON, "json", false, "with -cmd: print JSON")
	return d
}

// Start runs the one command, or serves until the process is stopped.
func (d *daemon) Start(ctx context.Context, app *basefx.App) error {
	if d.cmd != "" {
		app.Go("command", func(ctx context.Context) error {
			o := command.Options{Addr: app.Flags.SDAddr, Secret: app.Flags.Secret, JSON: d.asJSON, Out: app.Stdout}
			app.Stop(command.Run(ctx, o, d.cmd, app.Args))
			return nil
		})
		return nil
	}
	if len(app.Args) > 0 {
		return fmt.Errorf("%q is not a flag; arguments go with -cmd", app.Args[0])
	}
	s, err := server.New(server.Options{File: d.file, Secret: app.Flags.Secret, Log: app.Log, Version: basefx.Version()})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", d.addr)
	if err != nil {
		return errors.Join(fmt.Errorf("-addr: %w", err), s.Close())
	}
	app.SessionMetrics("discovery", s.Counters())
	app.Go("server", func(ctx context.Context) error {
		return errors.Join(s.Serve(ctx, l), s.Close())
	})
	app.Log.Info("ready", "addr", l.Addr(), "datafile", d.file)
	return nil
}
