package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"
)

// wantFiles is how many files a process may have open, if bench may say so.
const wantFiles = 200_000

// bench is one run of the program. All of it belongs to the main goroutine.
type bench struct {
	options
	dir     string // of this run
	log     io.Writer
	files   int // a process may have open
	http    *http.Client
	running []*child
	robots  int // started so far: makes their names
}

// measure is the program.
func measure(ctx context.Context, o options, out, log io.Writer) (err error) {
	chosen, err := choose(cases(o), o.cases)
	if err != nil {
		return err
	}
	b := &bench{options: o, log: log, http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}}
	if b.files, err = fileLimit(wantFiles); err != nil {
		return err
	}
	if err := b.makeDir(); err != nil {
		return err
	}
	defer func() {
		b.stopAll()
		switch {
		case err != nil:
			b.say("logs are in %s", b.dir)
		case o.dir == "":
			os.RemoveAll(b.dir)
		}
	}()
	if err := b.build(ctx); err != nil {
		return err
	}
	if o.relay != "" {
		if b.relay, err = exec.LookPath(o.relay); err != nil {
			return fmt.Errorf("-relay: %w", err)
		}
		if b.relay, err = filepath.Abs(b.relay); err != nil {
			return fmt.Errorf("-relay: %w", err)
		}
	}
	res := newResult(o)
	for _, c := range chosen {
		for i := range o.runs {
			for _, t := range c.turns {
				found, err := b.take(ctx, t)
				if err != nil {
					return fmt.Errorf("%s: %w", c.name, err)
				}
				for _, f := range found {
					res.add(c.name, f.side, f.figures)
					b.say("%s run %d of %d, %s: %s", c.name, i+1, o.runs, f.side, brief(c, f.figures))
				}
			}
		}
	}
	res.conclude(chosen)
	res.print(out)
	if o.json != "" {
		return res.write(o.json)
	}
	return nil
}

// tries is how often a turn that something else disturbs is taken at most.
const tries = 5

// found is what a turn has found about a side.
type found struct {
	side    string
	figures figures
}

// take takes a turn, again if it was disturbed. Of several the least disturbed
// counts.
func (b *bench) take(ctx context.Context, t turn) ([]found, error) {
	var best []found
	least := math.Inf(1)
	for try := 1; try <= tries; try++ {
		var all []found
		others := 0.0
		err := t(ctx, b, func(side string, f figures) {
			all = append(all, found{side, f})
			others = max(others, f[cpuOthers])
		})
		if err != nil {
			return nil, err
		}
		if others < least {
			least, best = others, all
		}
		if others <= b.calm {
			break
		}
		b.say("disturbed: something else kept %.2f cores busy", others)
	}
	return best, nil
}

func (b *bench) say(format string, args ...any) { fmt.Fprintf(b.log, format+"\n", args...) }

func (b *bench) makeDir() (err error) {
	if b.options.dir == "" {
		b.dir, err = os.MkdirTemp("", "cellmesh-bench-")
		return err
	}
	if b.dir, err = filepath.Abs(b.options.dir); err != nil {
		return err
	}
	return os.MkdirAll(b.dir, 0o755)
}

// programs are ours, as far as they are needed.
func programs() []string {
	return []string{"memsd", "hub", "login", "agent", "game", "social", "robot"}
}

func (b *bench) program(name string) string {
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	return filepath.Join(b.dir, "bin", name)
}

// build builds our programs from the source in the current folder's module.
func (b *bench) build(ctx context.Context) error {
	b.say("building the programs")
	args := []string{"build", "-o", filepath.Join(b.dir, "bin") + string(filepath.Separator)}
	for _, p := range programs() {
		args = append(args, "github.com/davyxu/cellmesh_demo/svc/"+p)
	}
	if err := os.MkdirAll(filepath.Join(b.dir, "bin"), 0o755); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Stdout, cmd.Stderr = b.log, b.log
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go build: %w", err)
	}
	return nil
}
