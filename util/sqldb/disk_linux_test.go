package sqldb

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A file system that is really full.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		t.Skip("no small file system for this user: ", err) // it takes rights that not everybody has
	}
	t.Cleanup(func() { // after the database is closed
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	testFull(t, prepared(t, filepath.Join(dir, "full.db"), Options{}), "full", func(full bool) {
		if !full {
			os.Remove(ballast)
		}
	})
}
