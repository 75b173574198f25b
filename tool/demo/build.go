package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// build makes the programs in bin. Those that are up to date are not made
// again, which takes a moment only.
func build(ctx context.Context, root, bin string, programs []string, say *teller) error {
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return fmt.Errorf("-dir: %w", err)
	}
	args := []string{"build", "-v", "-o", bin + string(filepath.Separator)}
	for _, name := range programs {
		args = append(args, "./svc/"+name)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = root
	ownGroup(cmd) // else go may die of a Ctrl-C before we know of it, and look like a build that failed
	cmd.Cancel = func() error { return interrupt(cmd.Process) }
	cmd.WaitDelay = 5 * time.Second
	out, in := io.Pipe()
	cmd.Stderr = in

	begin := time.Now()
	if !say.terminal {
		say.line("building %d programs (the first time takes a minute or two)", len(programs))
	}
	p := &buildProgress{}
	var reading sync.WaitGroup
	reading.Go(func() { p.read(out) })
	stopShowing := say.every(200*time.Millisecond, func() string {
		return fmt.Sprintf("building %d programs, %ds: %s", len(programs), int(time.Since(begin).Seconds()), p.now())
	})
	err := cmd.Run()
	in.Close()
	reading.Wait()
	stopShowing()
	if err != nil {
		return fmt.Errorf("go build: %w\n%s", err, strings.Join(p.trouble, "\n"))
	}
	say.line("built %d programs in %v", len(programs), time.Since(begin).Round(100*time.Millisecond))
	return nil
}

// buildProgress makes sense of what go build -v writes.
type buildProgress struct {
	mu       sync.Mutex
	compiled int
	latest   string
	trouble  []string // what is no progress
}

func (p *buildProgress) read(r io.Reader) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		p.line(lines.Text())
	}
	io.Copy(io.Discard, r) // after a line that is too long
}

func (p *buildProgress) line(s string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	download, is := strings.CutPrefix(s, "go: downloading ")
	switch {
	case is:
		p.latest = "downloading " + download
	case s != "" && !strings.ContainsAny(s, " :\t#"): // the path of a package
		p.compiled++
		p.latest = fmt.Sprintf("%d packages compiled, now after %s", p.compiled, s)
	default:
		p.trouble = append(p.trouble, s)
	}
}

func (p *buildProgress) now() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.latest == "" {
		return "looking what has changed"
	}
	return p.latest
}
