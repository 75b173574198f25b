package basefx

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp" // the reference implementation of the metrics format

	"github.com/davyxu/cellmesh_demo/util/cellnet"
)

// serveHTTP starts the operators' endpoint. It returns its address, and stop,
// which ends it and waits.
func (a *App) serveHTTP() (addr string, stop func(), err error) {
	if a.Flags.HTTPAddr == "" {
		return "", func() {}, nil
	}
	l, err := net.Listen("tcp", a.Flags.HTTPAddr)
	if err != nil {
		return "", nil, fmt.Errorf("-httpaddr: %w", err)
	}
	a.mux.Handle("GET /metrics", promhttp.HandlerFor(a.metrics, promhttp.HandlerOpts{}))
	a.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	a.mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if waits := a.waits.Load(); waits != nil {
			http.Error(w, *waits, http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	a.mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	a.mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	a.mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	a.mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	a.mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	srv := &http.Server{Handler: a.mux, ReadHeaderTimeout: 5 * time.Second, ErrorLog: slog.NewLogLogger(a.Logger("http").Handler(), slog.LevelDebug)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			a.Log.Error("http endpoint ended", "addr", l.Addr(), "err", err)
		}
	}()
	return a.reachable(l.Addr()), func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if srv.Shutdown(ctx) != nil {
			srv.Close()
		}
		<-done
	}, nil
}

// reachable is the address under which others reach a listener that may be
// bound everywhere.
func (a *App) reachable(addr net.Addr) string {
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		return net.JoinHostPort(a.Flags.LanIP, strconv.Itoa(tcp.Port))
	}
	return addr.String()
}

func newMetrics() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// Gauge registers a metric whose value is asked for when it is read.
func (a *App) Gauge(name, help string, labels map[string]string, value func() float64) {
	a.metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "cellmesh", Name: name, Help: help, ConstLabels: labels}, value))
}

// Counter registers a counter that somebody else counts, asked for when it is
// read.
func (a *App) Counter(name, help string, labels map[string]string, value func() float64) {
	a.metrics.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "cellmesh", Name: name, Help: help, ConstLabels: labels}, value))
}

// SessionMetrics shows the counters of one kind of sessions: "link", "client".
func (a *App) SessionMetrics(kind string, c *cellnet.Counters) {
	labels := map[string]string{"kind": kind}
	a.Gauge("sessions", "Sessions open.", labels, load(&c.Open))
	for _, m := range [...]struct {
		name, help string
		n          *atomic.Int64
	}{
		{"frames_in", "Frames read", &c.FramesIn},
		{"frames_out", "Frames handed to the system", &c.FramesOut},
		{"bytes_in", "Bytes read", &c.BytesIn},
		{"bytes_out", "Bytes written", &c.BytesOut},
		{"reads", "Reads that brought bytes", &c.Reads},
		{"writes", "Writes that took bytes", &c.Writes},
		{"blocked", "Times a socket was full", &c.Blocked},
		{"slow_cut", "Sessions cut because their peer does not read", &c.SlowCut},
		{"refused", "Frames refused because too much was waiting to be written", &c.Refused},
		{"accepted", "Connections accepted", &c.Accepted},
		{"over_limit", "Connections refused: too many in all", &c.OverLimit},
		{"over_addr_limit", "Connections refused: too many from one address", &c.OverAddrLimit},
		{"bad_handshake", "Connections closed before a session opened", &c.BadHandshake},
		{"open_refused", "Connections refused by the service", &c.OpenRefused},
	} {
		a.Counter("session_"+m.name+"_total", m.help+".", labels, load(m.n))
	}
}

func load(n *atomic.Int64) func() float64 { return func() float64 { return float64(n.Load()) } }
