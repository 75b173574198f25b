//go:build !linux

package datafile

import "os"

func dataSync(f *os.File) error { return f.Sync() }
