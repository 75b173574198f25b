// Protogen makes the Go package proto/pb from the .proto files in proto, without protoc.
//
//	go run ./tool/protogen         # write what changed
//	go run ./tool/protogen -check  # write nothing; list stale files and exit 1 if there are any
//
// It compiles the .proto files (compile.go), checks message IDs and routes (message.go, history.go),
// lets the official generator and vtprotobuf make *.pb.go (plugin.go), adds message_gen.go (emit.go)
// and plain_gen.go (plain.go), and writes the files whose content is new (output.go). Nothing is written unless everything is right.
//
// It does not import proto/pb, so it also works when that package is missing or does not compile.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "protogen:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("protogen", flag.ContinueOnError)
	fs.SetOutput(out)
	dir := fs.String("dir", "", "folder of the .proto files (default: proto in the project's root)")
	check := fs.Bool("check", false, "write nothing; list the generated files that are stale and exit 1 if there are any")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if *dir == "" {
		root, err := projectRoot()
		if err != nil {
			return err
		}
		*dir = filepath.Join(root, "proto")
	}

	files, err := generate(ctx, *dir, out)
	if err != nil {
		return err
	}
	stale, err := compare(*dir, files)
	if err != nil {
		return err
	}
	if *check {
		for _, c := range stale {
			fmt.Fprintf(out, "protogen: stale: %s (%s)\n", c.path, c.why)
		}
		if len(stale) > 0 {
			return fmt.Errorf("generated files are stale; run: sh proto/MakeProto.sh")
		}
		return nil
	}
	for _, c := range stale {
		if err := c.apply(*dir); err != nil {
			return err
		}
		fmt.Fprintf(out, "protogen: %s %s\n", c.done, c.path)
	}
	if len(stale) == 0 {
		fmt.Fprintf(out, "protogen: %d generated files are up to date\n", len(files))
	}
	return nil
}

// generate returns the content of every file that belongs to the .proto files in dir, by path in
// dir with slashes. Warnings go to out.
func generate(ctx context.Context, dir string, out io.Writer) (map[string][]byte, error) {
	compiled, err := compile(ctx, dir, out)
	if err != nil {
		return nil, err
	}
	messages, err := collect(compiled)
	if err != nil {
		return nil, err
	}
	history, err := checkHistory(dir, messages)
	if err != nil {
		return nil, err
	}
	files, err := runPlugins(ctx, compiled)
	if err != nil {
		return nil, err
	}
	if files["pb/message_gen.go"], err = emit(messages); err != nil {
		return nil, err
	}
	if files["pb/plain_gen.go"], err = emitPlain(compiled); err != nil {
		return nil, err
	}
	files[historyFile] = history
	return files, nil
}

// projectRoot returns the folder of go.mod, the working directory or the nearest one above it.
func projectRoot() (string, error) {
	wd, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := wd; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no go.mod in %s or above: run this inside the project, or name the folder with -dir", wd)
		}
	}
}
