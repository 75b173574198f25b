package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/linker"
	"github.com/bufbuild/protocompile/reporter"
)

// importPrefix is how .proto files name each other: from the project's root. Short names such as
// "client.proto" would sooner or later meet a library's file of the same name in the Go registry.
const importPrefix = "proto/"

// compile compiles all .proto files in dir. Its error has one line for each mistake, with
// file:line:col.
func compile(ctx context.Context, dir string, out io.Writer) (linker.Files, error) {
	found, err := filepath.Glob(filepath.Join(dir, "*.proto"))
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no .proto files in %s", dir)
	}
	var names []string
	for _, f := range found {
		names = append(names, importPrefix+filepath.Base(f))
	}

	var mistakes []error // the reporter calls us from one goroutine at a time
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{Accessor: open(dir)}),
		SourceInfoMode: protocompile.SourceInfoStandard, // comments go into the generated code, positions into our errors
		MaxParallelism: 1,                               // mistakes come in the order of files
		Reporter: reporter.NewReporter(
			func(err reporter.ErrorWithPos) error { mistakes = append(mistakes, err); return nil },
			func(err reporter.ErrorWithPos) { fmt.Fprintln(out, "protogen: warning:", err) },
		),
	}
	files, err := compiler.Compile(ctx, names...)
	if len(mistakes) > 0 {
		return nil, errors.Join(mistakes...)
	}
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if f.Package() != "proto" {
			return nil, fmt.Errorf("%s: the package must be proto, because message IDs are made of it; write: package proto;", f.Path())
		}
	}
	return files, nil
}

func open(dir string) func(string) (io.ReadCloser, error) {
	return func(name string) (io.ReadCloser, error) {
		base, ours := strings.CutPrefix(name, importPrefix)
		if !ours || base != path.Base(base) {
			return nil, fmt.Errorf("no such file; files of this project are imported as %q", importPrefix+path.Base(name))
		}
		return os.Open(filepath.Join(dir, base))
	}
}
