package datafile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// system is what can fail when a disk does. Tests let it.
type system struct {
	write    func(*os.File, []byte) (int, error)
	sync     func(*os.File) error
	dataSync func(*os.File) error // sync, but for what reading the file does not need, such as when it was changed
	rename   func(from, to string) error
}

func realSystem() system {
	return system{write: (*os.File).Write, sync: (*os.File).Sync, dataSync: dataSync, rename: os.Rename}
}

// create writes a new file at path and makes its content durable; its name is durable after syncDir.
func (s system) create(path string, text []byte, mode os.FileMode) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	if _, err = s.write(f, text); err == nil {
		err = s.sync(f)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(path)
	}
	return err
}

// syncDir makes the names of a folder durable.
func (s system) syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // it has no such thing, and needs none
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(s.sync(f), f.Close())
}

// beside returns the name of a file that belongs to the data file at path: hidden, in the same folder.
func beside(path, suffix string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+suffix)
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
