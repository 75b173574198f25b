// Routegen pushes the route rules of the .proto files to memsd, from where every running agent takes
// them within a second.
//
//	go run ./tool/routegen           # push to the memsd at -sdaddr
//	go run ./tool/routegen -print    # show the rules and push nothing
//
// The rules are those of the generated package proto/pb, collected by route.FromMessages;
// proto/MakeProto.sh generates it first. What they mean and how they look as text is in
// svc/agent/route; push.go is the push.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/peterbourgon/ff/v3" // flags over environment, as in every program of this project

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/agent/route"
	"github.com/davyxu/cellmesh_demo/util/certfile"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "routegen:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("routegen", flag.ContinueOnError)
	fs.SetOutput(out)
	addr := fs.String("sdaddr", "127.0.0.1:8900", "address of memsd")
	secret := fs.String("secret", "", "cluster secret, if memsd has one; @name reads it from a file")
	ca := fs.String("sdca", "", "certificates (PEM file) to trust memsd by, if it has -sdcert")
	timeout := fs.Duration("timeout", 3*time.Second, "how long to wait for memsd")
	show := fs.Bool("print", false, "write the rules to standard output and push nothing")
	if err := ff.Parse(fs, args, ff.WithEnvVarPrefix("CELLMESH")); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}

	rules, err := route.FromMessages(pb.Messages())
	if err != nil {
		return err
	}
	if *show {
		_, err := fmt.Fprintf(out, "%s\n", route.Marshal(rules))
		return err
	}
	key, err := readSecret(*secret)
	if err != nil {
		return err
	}
	o := discovery.Options{Name: "routegen", Secret: key}
	if *ca != "" {
		host, _, _ := net.SplitHostPort(*addr)
		if o.TLS, err = certfile.Client(*ca, host, slog.New(slog.DiscardHandler)); err != nil {
			return fmt.Errorf("-sdca: %w", err)
		}
	}
	reg := discovery.Dial(ctx, *addr, o)
	defer reg.Close()
	bounded, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	said, err := push(bounded, reg, rules)
	if err != nil {
		return fmt.Errorf("the route rules were NOT pushed to memsd at %s: %w", *addr, explain(err, reg.Connected(), *timeout))
	}
	fmt.Fprintf(out, "routegen: %s of memsd at %s, key %s\n", said, *addr, route.Key)
	return nil
}

// explain turns what push returned and how the connection is into what to do.
func explain(err, connection error, waited time.Duration) error {
	switch {
	case errors.Is(connection, discovery.ErrRefused):
		return fmt.Errorf("%w\ngive it the -secret and -sdca that memsd goes with (or CELLMESH_SECRET and CELLMESH_SDCA), and run again: go run ./tool/routegen", connection)
	case connection != nil && !errors.Is(err, context.Canceled):
		return fmt.Errorf("no answer within %v: %w\nstart it:      go run ./svc/memsd -datafile=persist.json\nand push then: go run ./tool/routegen", waited, connection)
	case errors.Is(err, discovery.ErrInDoubt):
		return fmt.Errorf("%w\nrun again to be sure: go run ./tool/routegen", err)
	}
	return err
}

// readSecret returns the secret that the flag means.
func readSecret(value string) (string, error) {
	file, ok := strings.CutPrefix(value, "@")
	if !ok {
		return value, nil
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("-secret: %w", err)
	}
	secret := strings.TrimSpace(string(content))
	if secret == "" {
		return "", fmt.Errorf("-secret: file %s is empty", file)
	}
	return secret, nil
}
