package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/davyxu/cellmesh_demo/util/discovery"
)

func TestBadFlags(t *testing.T) {
	for _, args := range [][]string{{"-nope"}, {"127.0.0.1:8900"}, {"-secret=@" + filepath.Join(t.TempDir(), "none")}} {
		if err := run(t.Context(), args, new(bytes.Buffer)); err == nil {
			t.Errorf("%q is accepted", args)
		}
	}
}

func TestReadSecret(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("open sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]string{"": "", "plain": "plain", "@" + file: "open sesame"} {
		if got, err := readSecret(value); err != nil || got != want {
			t.Errorf("readSecret(%q) = %q, %v, want %q", value, got, err, want)
		}
	}
}

// Every way to fail says what to do.
func TestExplain(t *testing.T) {
	down := fmt.Errorf("%w: connection refused", discovery.ErrUnavailable)
	for name, test := range map[string]struct {
		err, connection error
		want            string
	}{
		"not running":  {context.DeadlineExceeded, down, "go run ./svc/memsd"},
		"wrong secret": {context.DeadlineExceeded, fmt.Errorf("%w: %w", down, discovery.ErrRefused), "-secret"},
		"no answer":    {discovery.ErrInDoubt, nil, "run again"},
		"refused":      {discovery.ErrTooLarge, nil, discovery.ErrTooLarge.Error()},
		"interrupted":  {context.Canceled, down, "canceled"},
	} {
		got := explain(test.err, test.connection, time.Second)
		if !strings.Contains(got.Error(), test.want) {
			t.Errorf("%s: %v, want %q in it", name, got, test.want)
		}
		if !errors.Is(got, test.err) && !errors.Is(got, test.connection) {
			t.Errorf("%s: %v has lost its cause", name, got)
		}
	}
}
