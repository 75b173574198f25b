package basefx

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// testService is a Service made of functions.
type testService struct {
	start func(ctx context.Context, app *App) error
	drain func(ctx context.Context) error
}

func (s *testService) Start(ctx context.Context, app *App) error {
	if s.start == nil {
		return nil
	}
	return s.start(ctx, app)
}

func (s *testService) Drain(ctx context.Context) error {
	if s.drain == nil {
		return nil
	}
	return s.drain(ctx)
}

// process is a running Run.
type process struct {
	t     *testing.T
	reg   discovery.Registry
	log   logBuffer
	out   logBuffer
	stop  context.CancelFunc
	ready chan struct{} // closed when ready
	done  chan struct{} // closed when Run has returned
	app   *App          // read it when ready or done
	err   error         // read it when done
}

type runOptions struct {
	memory     *discovery.Memory
	registry   discovery.Registry
	stdin      io.Reader
	standalone bool
	args       []string
}

// launch runs a service named "test" until the test ends.
func launch(t *testing.T, svc *testService, o runOptions) *process {
	ctx, stop := context.WithCancel(context.Background())
	p := &process{t: t, stop: stop, reg: o.registry, ready: make(chan struct{}), done: make(chan struct{})}
	if p.reg == nil {
		if o.memory == nil {
			o.memory = discovery.NewMemory()
		}
		p.reg = o.memory.Open()
	}
	inner := svc.start
	svc.start = func(ctx context.Context, app *App) error {
		p.app = app
		if inner == nil {
			return nil
		}
		return inner(ctx, app)
	}
	args := append([]string{"-flagfile=", "-httpaddr=", "-loglevel=debug", "-logcolor=false"}, o.args...)
	go func() {
		defer close(p.done)
		p.err = Run(ctx, "test", func(*flag.FlagSet) Service { return svc }, Options{
			Args: args, Stdin: o.stdin, Stdout: &p.out, Stderr: &p.log, Registry: p.reg, Standalone: o.standalone,
			Ready: func(*App) { close(p.ready) },
		})
	}()
	t.Cleanup(func() {
		p.end()
		p.reg.Close()
		if t.Failed() {
			t.Logf("log:\n%s", p.log.String())
		}
	})
	return p
}

// end stops the process as Ctrl-C does, and returns what Run returned.
func (p *process) end() error {
	p.stop()
	return p.wait()
}

// wait waits for the end of the process.
func (p *process) wait() error {
	p.t.Helper()
	select {
	case <-p.done:
		return p.err
	case <-time.After(testTimeout):
		p.t.Fatal("the process does not end")
		return nil
	}
}

func (p *process) waitReady() {
	p.t.Helper()
	select {
	case <-p.ready:
	case <-p.done:
		p.t.Fatalf("ended before it was ready: %v", p.err)
	case <-time.After(testTimeout):
		p.t.Fatal("not ready")
	}
}

const testTimeout = time.Minute

// eventually polls until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(testTimeout); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", testTimeout, what)
		}
	}
}

// logBuffer is a log that can be read while it is written.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// count is the number of lines that contain words.
func (b *logBuffer) count(words string) (n int) {
	for line := range strings.Lines(b.String()) {
		if strings.Contains(line, words) {
			n++
		}
	}
	return n
}

// programEnv tells the test binary, run once more, which of the programs below
// to be.
const programEnv = "BASEFX_TEST_PROGRAM"

func runProgram(name string) {
	switch name {
	case "service": // waits for a memsd that is not there
		Main("test", func(*flag.FlagSet) Service { return &testService{} })
	case "slow": // takes long to drain
		Main("test", func(*flag.FlagSet) Service {
			return &testService{
				start: func(context.Context, *App) error { fmt.Println("started"); return nil },
				drain: func(ctx context.Context) error { fmt.Println("draining"); <-ctx.Done(); return nil },
			}
		}, Standalone)
	case "failing":
		Main("test", func(*flag.FlagSet) Service {
			return &testService{start: func(context.Context, *App) error { return fmt.Errorf("no disk in drive %s", "A") }}
		}, Standalone)
	}
	os.Exit(99)
}

func testServiceFlags(svc *testService) func(*flag.FlagSet) Service {
	return func(*flag.FlagSet) Service { return svc }
}
