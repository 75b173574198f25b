package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// projectRoot is the folder of the go.mod above the working directory, if it
// is this project's.
func projectRoot() (string, error) {
	wd, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := wd; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			if _, err := os.Stat(filepath.Join(dir, "svc", "memsd", "main.go")); err != nil {
				return "", fmt.Errorf("%s is a Go module without svc/memsd: run this in the project's folder", dir)
			}
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("there is no go.mod in %s or above: run this in the project's folder", wd)
		}
	}
}

// robot is a program that is built and started only with -robots: it is a load,
// not a part of the server.
const robot = "robot"

// findPrograms returns the names of the folders in svc that have a main.go, in
// the order of the alphabet.
func findPrograms(root string) ([]string, error) {
	mains, err := filepath.Glob(filepath.Join(root, "svc", "*", "main.go"))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, m := range mains {
		if name := filepath.Base(filepath.Dir(m)); name != robot {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, errors.New("no folder in svc has a main.go")
	}
	return names, nil
}
