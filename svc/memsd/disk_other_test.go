//go:build unix && !linux

package main

import "testing"

func smallDisk(*testing.T) (dir string, ok bool) { return "", false }
