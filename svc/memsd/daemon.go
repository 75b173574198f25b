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
	"github.com/davyxu/cellmesh_demo/util/certfile"
)

// daemon is memsd as a program.
type daemon struct {
	addr   string
	file   string
	cert   string
	key    string
	cmd    string
	asJSON bool
}

func newDaemon(fs *flag.FlagSet) basefx.Service {
	d := &daemon{}
	fs.StringVar(&d.addr, "addr", "127.0.0.1:8900", "listen here; port 0 is any free one")
	fs.StringVar(&d.file, "datafile", "persist.json", "where the values are kept; empty: nowhere")
	fs.StringVar(&d.cert, "sdcert", "", "certificate file (PEM): all others must then use TLS, by -sdca; read again when it changes")
	fs.StringVar(&d.key, "sdkey", "", "key file (PEM) of -sdcert")
	fs.StringVar(&d.cmd, "cmd", "", "ask the memsd at -sdaddr instead of being one:\n"+command.Usage())
	fs.BoolVar(&d.asJSON, "json", false, "with -cmd: print JSON")
	return d
}

// Start runs the one command, or serves until the process is stopped.
func (d *daemon) Start(ctx context.Context, app *basefx.App) error {
	if d.cmd != "" {
		app.Go("command", func(ctx context.Context) error {
			o := command.Options{Addr: app.Flags.SDAddr, Secret: app.Flags.Secret, TLS: app.DiscoveryTLS, JSON: d.asJSON, Out: app.Stdout}
			app.Stop(command.Run(ctx, o, d.cmd, app.Args))
			return nil
		})
		return nil
	}
	if len(app.Args) > 0 {
		return fmt.Errorf("%q is not a flag; arguments go with -cmd", app.Args[0])
	}
	o := server.Options{File: d.file, Secret: app.Flags.Secret, Log: app.Log, Version: basefx.Version()}
	if (d.cert == "") != (d.key == "") {
		return errors.New("-sdcert and -sdkey go together")
	}
	if d.cert != "" {
		var err error
		if o.TLS, err = certfile.Server(d.cert, d.key, app.Logger("tls")); err != nil {
			return fmt.Errorf("-sdcert: %w", err)
		}
	}
	s, err := server.New(o)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", d.addr)
	if err != nil {
		return errors.Join(fmt.Errorf("-addr: %w", err), s.Close())
	}
	metrics(app, s)
	app.Go("server", func(ctx context.Context) error {
		return errors.Join(s.Serve(ctx, l), s.Close())
	})
	app.Log.Info("ready", "addr", l.Addr(), "datafile", d.file, "tls", o.TLS != nil)
	return nil
}
