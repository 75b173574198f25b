// Package cluster runs a whole cluster of real services inside one process, for
// tests: real flags, real sockets on loopback, real start and stop, a real
// database file; only discovery is in memory and shared. Open cluster.go first;
// tokens.go lets clients into games without a login service.
package cluster

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/agent/gateway"
	"github.com/davyxu/cellmesh_demo/svc/agent/route"
	"github.com/davyxu/cellmesh_demo/svc/game/world"
	"github.com/davyxu/cellmesh_demo/svc/hub/broker"
	"github.com/davyxu/cellmesh_demo/svc/login/desk"
	"github.com/davyxu/cellmesh_demo/svc/social/chat"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// startTimeout bounds the start of one service, with what it waits for, and every
// other wait: by far more than anything takes, also on a busy machine.
const startTimeout = time.Minute

// services are the programs a cluster can have.
func services() map[string]func(*flag.FlagSet) basefx.Service {
	return map[string]func(*flag.FlagSet) basefx.Service{
		"hub": broker.New, "login": desk.New, "agent": gateway.New, "game": world.New, "social": chat.New,
	}
}

// Cluster is a running cluster. Everything in it ends with the test.
type Cluster struct {
	T        testing.TB
	Memory   *discovery.Memory
	Registry discovery.Registry // a handle for looking
	LogLevel string             // of the services launched next
	Database string             // source of the database, -database of those that have it
}

// New makes an empty cluster that knows the routes.
func New(t testing.TB) *Cluster {
	c := &Cluster{T: t, Memory: discovery.NewMemory(), LogLevel: "debug", Database: "sqlite:" + filepath.Join(t.TempDir(), "cluster.db")}
	c.Registry = c.Memory.Open()
	t.Cleanup(func() { c.Registry.Close() })
	table, err := route.FromMessages(pb.Messages())
	if err != nil {
		t.Fatal(err)
	}
	c.Set(route.Key, string(route.Marshal(table)))
	return c
}

// Start makes a cluster with one of every service, ready.
func Start(t testing.TB) *Cluster {
	c, _ := StartWithGame(t)
	return c
}

// StartWithGame is Start, and gives the game to look at.
func StartWithGame(t testing.TB) (c *Cluster, game *Process) {
	c = New(t)
	var all []*Process
	for _, name := range []string{"game", "hub", "social", "agent", "login"} {
		all = append(all, c.Launch(name))
	}
	for _, p := range all {
		p.WaitReady()
	}
	return c, all[0]
}

// LiftRates takes the rates out of the routes, for tests that are faster than a
// person. Agents follow soon.
func (c *Cluster) LiftRates() {
	c.T.Helper()
	messages := slices.Clone(pb.Messages())
	for i := range messages {
		messages[i].Rate, messages[i].Burst = 0, 0
	}
	table, err := route.FromMessages(messages)
	if err != nil {
		c.T.Fatal(err)
	}
	c.Set(route.Key, string(route.Marshal(table)))
}

// Set sets a value in discovery.
func (c *Cluster) Set(key, value string) {
	c.T.Helper()
	if err := discovery.Set(c.T.Context(), c.Registry, key, value); err != nil {
		c.T.Fatal(err)
	}
}

// Process is one running service.
type Process struct {
	Name string
	App  *basefx.App // once ready

	t        testing.TB
	registry discovery.Registry
	cancel   context.CancelFunc
	ready    chan struct{}
	done     chan struct{}
	err      error
	log      safeBuffer
}

// Launch starts a service and returns at once.
func (c *Cluster) Launch(name string, args ...string) *Process {
	return c.LaunchAs(name, services()[name], args...)
}

// LaunchAs starts a service of the test's own under a name, for instance a game
// that behaves badly, and returns at once.
func (c *Cluster) LaunchAs(name string, new func(*flag.FlagSet) basefx.Service, args ...string) *Process {
	ctx, cancel := context.WithCancel(context.Background())
	p := &Process{Name: name, t: c.T, registry: c.Memory.Open(), cancel: cancel, ready: make(chan struct{}), done: make(chan struct{})}
	args = append([]string{"-flagfile=", "-httpaddr=127.0.0.1:0", "-loglevel=" + c.LogLevel, "-logcolor=false"}, args...)
	build := func(fs *flag.FlagSet) basefx.Service {
		svc := new(fs)
		for name, value := range map[string]string{"database": c.Database, "platforms": "demo"} {
			if f := fs.Lookup(name); f != nil {
				f.Value.Set(value)
			}
		}
		return svc
	}
	go func() {
		defer close(p.done)
		defer p.registry.Close()
		p.err = basefx.Run(ctx, name, build, basefx.Options{
			Args: args, Stdin: strings.NewReader(""), Stdout: &p.log, Stderr: &p.log, Registry: p.registry,
			Ready: func(a *basefx.App) { p.App = a; close(p.ready) },
		})
	}()
	c.T.Cleanup(func() {
		p.Stop()
		if c.T.Failed() {
			c.T.Logf("--- log of %s\n%s", name, p.log.String())
		}
	})
	return p
}

// WaitReady waits until the service is ready.
func (p *Process) WaitReady() *Process {
	p.t.Helper()
	select {
	case <-p.ready:
		return p
	case <-p.done:
		p.t.Fatalf("%s ended before it was ready: %v", p.Name, p.err)
	case <-time.After(startTimeout):
		p.t.Fatalf("%s is not ready after %v", p.Name, startTimeout)
	}
	return nil
}

// Stop stops the service gracefully, waits for its end and returns its error.
func (p *Process) Stop() error {
	p.cancel()
	return p.Wait()
}

// Wait waits until the service has ended and returns its error.
func (p *Process) Wait() error {
	select {
	case <-p.done:
		return p.err
	case <-time.After(startTimeout):
		p.t.Errorf("%s does not stop", p.Name)
		return fmt.Errorf("%s does not stop", p.Name)
	}
}

// Log is what the service has logged so far.
func (p *Process) Log() string { return p.log.String() }

// Page is what the operators' endpoint of the service shows, for instance at
// /metrics.
func (p *Process) Page(t testing.TB, path string) string {
	t.Helper()
	resp, err := http.Get("http://" + p.App.Self().Meta[discovery.MetaHTTP] + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Metric is the value of one of the service's metrics, written as /metrics does
// but for the prefix: agent_closed_total{reason="eof"}. 0 if it is not there.
func (p *Process) Metric(t testing.TB, name string) float64 {
	t.Helper()
	for line := range strings.Lines(p.Page(t, "/metrics")) {
		if value, ok := strings.CutPrefix(line, "cellmesh_"+name+" "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	return 0
}

// Addr is where the newest ready instance of a service with clients listens for
// them.
func (c *Cluster) Addr(svcid string) string {
	c.T.Helper()
	svc, ok := c.Registry.Snapshot().Service(svcid)
	if !ok || svc.Meta[discovery.MetaWAN] == "" {
		c.T.Fatalf("%s is not in discovery, or has no address for clients", svcid)
	}
	return svc.Meta[discovery.MetaWAN]
}

// Eventually polls until ok says so.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(startTimeout)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", startTimeout, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// safeBuffer is a buffer that many may write and read.
type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
