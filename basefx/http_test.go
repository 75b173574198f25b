package basefx

import (
	"context"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// get reads a page of the operators' endpoint.
func get(t *testing.T, addr, path string) (status int, body string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + addr + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// The endpoint is announced, and tells whether the process lives, whether it is
// ready and if not why, and what it counts.
func TestHTTP(t *testing.T) {
	t.Parallel()
	var dry atomic.Bool
	dry.Store(true)
	p := launch(t, &testService{start: func(_ context.Context, a *App) error {
		a.Need("water", func(*discovery.Snapshot) string {
			if dry.Load() {
				return "the well is dry"
			}
			return ""
		})
		a.Gauge("bottles", "Bottles on the wall.", map[string]string{"kind": "beer"}, func() float64 { return 99 })
		by := a.CounterBy("drinks_total", "Drinks.", "drink")
		by("beer")
		by("beer")
		a.HandleHTTP("GET /menu", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "beer") }))
		return nil
	}}, runOptions{args: []string{"-httpaddr=127.0.0.1:0"}})
	var addr string
	eventually(t, "announced", func() bool {
		svc, ok := p.reg.Snapshot().Service("test#0@dev")
		if ok {
			addr = svc.Meta[discovery.MetaHTTP]
		}
		return addr != ""
	})
	if status, body := get(t, addr, "/healthz"); status != 200 || body != "ok\n" {
		t.Errorf("/healthz: %d %q", status, body)
	}
	eventually(t, "/readyz says what it waits for", func() bool {
		status, body := get(t, addr, "/readyz")
		return status == 503 && body == "waiting for water: the well is dry\n"
	})
	dry.Store(false)
	p.waitReady()
	if status, body := get(t, addr, "/readyz"); status != 200 || body != "ready\n" {
		t.Errorf("/readyz: %d %q", status, body)
	}
	if status, body := get(t, addr, "/menu"); status != 200 || body != "beer" {
		t.Errorf("/menu: %d %q", status, body)
	}
	for _, page := range []string{"/debug/pprof/", "/debug/pprof/goroutine?debug=1", "/debug/pprof/cmdline"} {
		if status, _ := get(t, addr, page); status != 200 {
			t.Errorf("%s: %d", page, status)
		}
	}
	_, text := get(t, addr, "/metrics")
	metrics := parseMetrics(t, text)
	for name, want := range map[string]float64{
		`cellmesh_bottles{kind="beer"}`: 99, `cellmesh_drinks_total{drink="beer"}`: 2, `cellmesh_sessions{kind="link"}`: 0,
	} {
		if got, ok := metrics[name]; !ok || got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if metrics["go_goroutines"] == 0 {
		t.Error("no metrics of the Go runtime")
	}
	if err := p.end(); err != nil {
		t.Error(err)
	}
	if conn, err := net.Dial("tcp", addr); err == nil {
		conn.Close()
		t.Error("the endpoint is still there")
	}
}

var sample = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*(?:\{[^{}]*\})?) (\S+)$`)

// parseMetrics reads the Prometheus text format.
func parseMetrics(t *testing.T, text string) map[string]float64 {
	t.Helper()
	all := map[string]float64{}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "# HELP ") || strings.HasPrefix(line, "# TYPE ") {
			continue
		}
		m := sample.FindStringSubmatch(line)
		if m == nil {
			t.Errorf("not a sample: %q", line)
			continue
		}
		v, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			t.Errorf("%q: %v", line, err)
		}
		all[m[1]] = v
	}
	return all
}

// What is bound everywhere is announced with an address that others reach.
func TestReachable(t *testing.T) {
	a := &App{Flags: Flags{LanIP: "10.0.0.1"}}
	for addr, want := range map[string]string{"0.0.0.0:80": "10.0.0.1:80", "[::]:80": "10.0.0.1:80", "127.0.0.1:80": "127.0.0.1:80"} {
		tcp, err := net.ResolveTCPAddr("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if got := a.reachable(tcp); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
}

// Two services find each other through discovery, link, and say so; the port
// for clients is announced under -wanip.
func TestTwoServicesLink(t *testing.T) {
	t.Parallel()
	memory := discovery.NewMemory()
	p := launch(t, &testService{start: func(_ context.Context, a *App) error { a.NeedLink("test"); return nil }},
		runOptions{memory: memory, args: []string{"-linkrule=blue", "-secret=s3cret"}})
	eventually(t, "the first waits", func() bool { return p.log.count("no test that -linkrule allows; there is test#0@dev") == 1 })
	q := launch(t, &testService{start: func(_ context.Context, a *App) error {
		l, err := a.ListenClients(net.ListenConfig{})
		if err != nil {
			return err
		}
		_, port, _ := net.SplitHostPort(l.Addr().String())
		if l.Addr().String() != "127.0.0.1:"+port {
			t.Errorf("listens at %s", l.Addr())
		}
		return a.AcceptLinks()
	}}, runOptions{memory: memory, args: []string{"-svcgroup=blue", "-secret=s3cret"}})
	q.waitReady()
	p.waitReady()
	if l := p.app.Links.Get("test#0@blue"); l == nil {
		t.Error("ready without a link")
	}
	self := q.app.Self()
	if !strings.HasPrefix(self.Meta[discovery.MetaWAN], "127.0.0.1:") || self.Addr == "" {
		t.Errorf("announced %+v", self)
	}
	if err := q.end(); err != nil {
		t.Error(err)
	}
	eventually(t, "the link ends", func() bool { return p.app.Links.Get("test#0@blue") == nil })
}
