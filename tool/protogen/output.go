package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// change is one file that is not as it should be.
type change struct {
	path    string // in the folder of the .proto files, with slashes
	content []byte // nil: the file must go
	why     string
	done    string // what apply did to it
}

// compare returns what has to change in dir so that its generated files are exactly these.
func compare(dir string, files map[string][]byte) ([]change, error) {
	var changes []change
	for _, path := range slices.Sorted(maps.Keys(files)) {
		old, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(path)))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			changes = append(changes, change{path, files[path], "missing", "wrote"})
		case err != nil:
			return nil, err
		// A checkout on Windows may have put carriage returns in: not a change.
		case !bytes.Equal(bytes.ReplaceAll(old, []byte("\r\n"), []byte("\n")), files[path]):
			changes = append(changes, change{path, files[path], "differs from what the .proto files say", "wrote"})
		}
	}
	// What is left of a .proto file that was removed or renamed would declare its types twice.
	found, err := filepath.Glob(filepath.Join(dir, "pb", "*.pb.go"))
	if err != nil {
		return nil, err
	}
	for _, file := range found {
		path := "pb/" + filepath.Base(file)
		if _, ok := files[path]; !ok {
			changes = append(changes, change{path, nil, "its .proto file is gone", "removed"})
		}
	}
	return changes, nil
}

// apply makes the change. The file is complete at every moment: it is written beside and renamed.
func (c change) apply(dir string) error {
	file := filepath.Join(dir, filepath.FromSlash(c.path))
	if c.content == nil {
		return os.Remove(file)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(file), ".protogen-*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name()) // fails after the rename, as it should
	_, err = temp.Write(c.content)
	if err = errors.Join(err, temp.Chmod(0o644), temp.Close()); err != nil {
		return fmt.Errorf("write %s: %w", c.path, err)
	}
	return os.Rename(temp.Name(), file)
}
