//go:build unix

package main

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// watchStarter calls gone when this was started by "go run" and that has ended.
// Go run waits for us, unless it was killed. It returns then, or with ctx.
func watchStarter(ctx context.Context, gone func()) {
	if exe, err := os.Executable(); err != nil || !madeByGoRun(exe) {
		return
	}
	parent := os.Getppid()
	ticker := time.NewTicker(500 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if os.Getppid() != parent {
				gone()
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// madeByGoRun reports whether exe lies where "go run" puts programs: in a
// temporary folder go-build123, or in the build cache.
func madeByGoRun(exe string) bool {
	dir := filepath.Dir(exe)
	return strings.Contains(dir, string(filepath.Separator)+"go-build") ||
		regexp.MustCompile(`^[0-9a-f]{64}-d$`).MatchString(filepath.Base(dir))
}
