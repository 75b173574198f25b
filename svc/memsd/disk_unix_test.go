//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// TestFullDisk fills what memsd may write, by a limit of the system on the size of files, and on Linux also by a small
// file system if the test may mount one. (Failures of every single call are tested in package datafile.)
func TestFullDisk(t *testing.T) {
	t.Run("Limit", func(t *testing.T) {
		// ulimit counts in units of 512 bytes or 1 KiB, as the shell likes.
		fill(t, t.TempDir(), "file too large", "/bin/sh", "-c", `ulimit -f 300; exec "$0" "$@"`)
	})
	if dir, ok := smallDisk(t); ok {
		t.Run("Disk", func(t *testing.T) { fill(t, dir, "no space left on device") })
	} else {
		t.Logf("no small file system on %s for this user", runtime.GOOS)
	}
}

func fill(t *testing.T, dir, reason string, wrap ...string) {
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 100_000), 0o644); err != nil {
		t.Fatal(err)
	}
	p := startMemsd(t, dir, "127.0.0.1:0", wrap...)
	c := discovery.Dial(context.Background(), p.addr, discovery.Options{})
	defer c.Close()
	value := strings.Repeat("x", 20_000)
	stored := 0
	for {
		err := discovery.Set(within(t), c, fmt.Sprintf("k%05d", stored), value)
		if err == nil {
			stored++
			if stored > 1000 {
				t.Fatal("the disk does not become full")
			}
			continue
		}
		if !errors.Is(err, discovery.ErrStorage) || !strings.Contains(err.Error(), reason) {
			t.Fatalf("writing to a full disk: %v; want ErrStorage and %q", err, reason)
		}
		break
	}
	// Reading goes on, for those who are there and for those who come; services come and go.
	other := discovery.Dial(context.Background(), p.addr, discovery.Options{})
	defer other.Close()
	lease, err := other.Register(within(t), discovery.Service{Name: "game", Group: "dev", Index: -1, State: discovery.Ready})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []discovery.Registry{c, other} {
		if _, n := r.Snapshot().Len(); n != stored {
			t.Errorf("%d keys are shown, %d were acknowledged", n, stored)
		}
	}
	if err := lease.Close(within(t)); err != nil {
		t.Error(err)
	}
	if code, out, _ := ask(t, p.addr, "-cmd=status"); code != 0 || !strings.Contains(out, reason) {
		t.Errorf("status does not tell of it:\n%s", out)
	}
	p.kill()
	// Nothing that was stored is harmed.
	p = startMemsd(t, dir, "127.0.0.1:0", wrap...)
	if code, out, _ := ask(t, p.addr, "-json", "-cmd=status"); code != 0 || !strings.Contains(out, fmt.Sprintf(`"keys": %d`, stored)) {
		t.Errorf("after a restart, want %d keys:\n%s", stored, out)
	}
	// Somebody makes room on the disk, and deletes what is not needed: memsd goes on by itself.
	again := discovery.Dial(context.Background(), p.addr, discovery.Options{})
	defer again.Close()
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if _, err := again.Apply(within(t), discovery.ClearOp("")); err != nil {
		t.Errorf("deleting on a disk that was full: %v", err)
	}
	for i := range 5 {
		if err := discovery.Set(within(t), again, fmt.Sprint("k", i), value); err != nil {
			t.Fatalf("writing again: %v\n%s", err, p.text())
		}
	}
	if code, out, _ := ask(t, p.addr, "-cmd=status"); code != 0 || strings.Contains(out, reason) {
		t.Errorf("status still tells of a full disk:\n%s", out)
	}
}
