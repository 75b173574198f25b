// Command memsd is the discovery daemon: every process of the cluster registers with it and follows what changes.
// With -cmd it asks a running memsd instead. The server is in package server, the commands are in package command.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/davyxu/cellmesh_demo/svc/memsd/command"
	"github.com/davyxu/cellmesh_demo/svc/memsd/server"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "memsd:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	addr := flag.String("addr", "127.0.0.1:8900", "listen here; port 0 is any free one")
	file := flag.String("datafile", "persist.json", "where the values are kept; empty: nowhere")
	secret := flag.String("secret", os.Getenv("CELLMESH_SECRET"), "cluster secret; required when -addr is not loopback")
	sdaddr := flag.String("sdaddr", "127.0.0.1:8900", "with -cmd: the memsd to ask")
	cmd := flag.String("cmd", "", "ask a running memsd instead of being one:\n"+command.Usage())
	asJSON := flag.Bool("json", false, "with -cmd: print JSON")
	flag.Parse()
	if *cmd != "" {
		return command.Run(ctx, command.Options{Addr: *sdaddr, Secret: *secret, JSON: *asJSON, Out: os.Stdout}, *cmd, flag.Args())
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	s, err := server.New(server.Options{File: *file, Secret: *secret, Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	l, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	log.Info("memsd is ready", "addr", l.Addr().String(), "datafile", *file)
	return s.Serve(ctx, l)
}
