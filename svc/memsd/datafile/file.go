// Package datafile keeps memsd's values on disk: a JSON file that people may read and, while memsd is down, edit.
//
// Open file.go first.
package datafile

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/davyxu/cellmesh_demo/util/discovery/store"
	"github.com/davyxu/cellmesh_demo/util/discovery/wire"
)

// File is an open data file. One goroutine uses it.
type File struct {
	path   string
	values map[string]string
	size   int64
	wrote  time.Time
}

// Open reads the file at path; one that is not there is empty, and is written by the first Commit. A file that cannot
// be understood is left as it is, and the error says where.
func Open(path string) (*File, error) {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read data file: %w", err)
	}
	values, err := Decode(text)
	if err != nil {
		return nil, fmt.Errorf("data file %s is left untouched, correct it by hand: %w", path, err)
	}
	return &File{path: path, values: values, size: int64(len(text))}, nil
}

// Snapshot returns what the file held when it was opened.
func (f *File) Snapshot() *store.Snapshot {
	return store.NewSnapshot(1, maps.All(f.values), nil)
}

// Status fills in what there is to say about the file.
func (f *File) Status(st *wire.Status) {
	st.File, st.FileSize, st.LastWrite = f.path, f.size, f.wrote
}

// Close closes the file.
func (f *File) Close(snap *store.Snapshot) error { return nil }

// Commit makes snap, which events led to, durable. If it fails, the file has what it had.
func (f *File) Commit(snap *store.Snapshot, events []store.Event) error {
	text := Encode(snap.Values(""))
	if err := replace(f.path, text); err != nil {
		return err
	}
	f.size, f.wrote = int64(len(text)), time.Now()
	return nil
}

// replace writes a file so that, whatever happens, either the old or the new content is there as a whole.
func replace(path string, text []byte) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".persist-*.tmp")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = tmp.Close()
			_ = os.Remove(tmp.Name())
		}
	}()
	if _, err = tmp.Write(text); err != nil {
		return err
	}
	if err = tmp.Sync(); err != nil {
		return err
	}
	if err = tmp.Close(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
