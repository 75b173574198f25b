package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/davyxu/cellmesh_demo/svc/robot/robotapi"
)

const (
	// spareFiles is how many files a server has open beside its clients.
	spareFiles = 200
	// settleLimit is how long memory may take to stand still.
	settleLimit = 40 * time.Second
)

// idleCase is what an idle connection costs agent.
func idleCase(o options, commType string, goal float64) benchCase {
	return benchCase{
		name: "idle-" + commType,
		does: fmt.Sprintf("memory of agent per idle verified %s connection, with %d of them", commType, o.idle),
		turns: []turn{func(ctx context.Context, b *bench, record func(string, figures)) error {
			s, err := b.startCluster(ctx, 1)
			if err != nil {
				return err
			}
			defer b.stopAll()
			n := min(o.idle, b.files-spareFiles)
			if n < o.idle {
				b.say("%s: %d connections instead of %d: no process may have more than %d files open here", "idle-"+commType, n, o.idle, b.files)
			}
			agent := s.named("agent")[0]
			before, err := b.settledMemory(ctx, s, agent)
			if err != nil {
				return err
			}
			r, err := b.startRobot(s, "-n=0", fmt.Sprint("-idle=", n), "-for=0", "-commtype="+commType)
			if err != nil {
				return err
			}
			if err := r.until(ctx, robotapi.Measuring); err != nil {
				return err
			}
			after, err := b.settledMemory(ctx, s, agent)
			if err != nil {
				return err
			}
			report, err := r.finish(true)
			if err != nil {
				return err
			}
			if report.IdleIn != n {
				return fmt.Errorf("%d of %d idle connections got in", report.IdleIn, n)
			}
			record(ours, figures{bytesEach: float64(after-before) / float64(n), connections: float64(n)})
			return nil
		}},
		rows: []row{
			{figure: bytesEach, name: "bytes each in agent", unit: count, goal: goal},
			{figure: connections, name: "  connections", unit: count},
		},
	}
}

// settledMemory is the resident memory of one of our services once its garbage
// has been collected and it stands still.
func (b *bench) settledMemory(ctx context.Context, s *servers, c *child) (int64, error) {
	deadline := time.Now().Add(settleLimit)
	var seen []int64
	for {
		if err := b.collect(ctx, s.http[c]); err != nil {
			return 0, fmt.Errorf("collect the garbage of %s: %w", c.name, err)
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(time.Second):
		}
		now, err := residentBytes(c.pid())
		if err != nil {
			return 0, err
		}
		seen = append(seen, now)
		if n := len(seen); n >= 8 && steady(seen[n-6:]) || time.Now().After(deadline) {
			last := slices.Clone(seen[max(n-6, 0):])
			slices.Sort(last)
			return last[len(last)/2], nil
		}
	}
}

// steady reports whether figures differ by no more than a hundredth.
func steady(all []int64) bool {
	least, most := slices.Min(all), slices.Max(all)
	return float64(most-least) <= math.Max(float64(most)/100, 256<<10)
}

// collect has a service collect its garbage: a heap profile is only up to date
// after that.
func (b *bench) collect(ctx context.Context, httpAddr string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+httpAddr+"/debug/pprof/heap?gc=1", nil)
	if err != nil {
		return err
	}
	resp, err := b.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("answer %s", resp.Status)
	}
	return nil
}

// crowdCase is whether clients that play notice those that only heartbeat.
func crowdCase(o options) benchCase {
	return benchCase{
		name: "crowd",
		does: fmt.Sprintf("p99 of 100 clients that echo, with and without %d idle ones that heartbeat", o.crowd),
		turns: []turn{func(ctx context.Context, b *bench, record func(string, figures)) error {
			each := b.files - spareFiles - 100 // connections per process
			parts := (o.crowd + each - 1) / each
			s, err := b.startCluster(ctx, parts)
			if err != nil {
				return err
			}
			defer b.stopAll()
			f, err := b.playAmong(ctx, s)
			record(alone, f)
			if err != nil {
				return err
			}
			var crowd []*robot
			for i := range parts {
				n := o.crowd / parts
				if i == 0 {
					n += o.crowd % parts
				}
				r, err := b.startRobot(s, "-n=0", fmt.Sprint("-idle=", n), "-for=0", "-source=127.0.1.1-127.0.1.4", fmt.Sprint("-beat=", o.beat), fmt.Sprintf("-uid=idle%d-", i))
				if err != nil {
					return err
				}
				crowd = append(crowd, r)
			}
			for _, r := range crowd {
				if err := r.until(ctx, robotapi.Measuring); err != nil {
					return err
				}
				r.readOn()
			}
			f, err = b.playAmong(ctx, s)
			if err != nil {
				return err
			}
			held := 0
			for _, r := range crowd {
				report, err := r.finish(true)
				if err != nil {
					return err
				}
				held += report.IdleIn
			}
			f[connections], f[agents] = float64(held), float64(parts)
			record(ours, f)
			return nil
		}},
		rows: []row{
			{figure: p99, name: "p99", unit: micros, over: alone, goal: 1.5},
			{figure: p50, name: "p50", unit: micros, over: alone},
			{figure: p99Rate, name: fmt.Sprintf("p99 at %v/s each", crowdRate), unit: micros, over: alone},
			{figure: opsPerSec, name: "ops/s", unit: count, over: alone},
			{figure: connections, name: "  idle connections", unit: count},
			{figure: agents, name: "  agents", unit: count},
			{figure: cpuServers, name: "  cores busy, servers", unit: decimal, over: alone},
			{figure: cpuRobot, name: "  cores busy, robot", unit: decimal, over: alone},
			{figure: cpuOthers, name: "  cores busy, others", unit: decimal, over: alone},
		},
	}
}

// crowdRate is how many echoes a second a client of the second half of case
// crowd asks for.
const crowdRate = 20

// playAmong is 100 clients that echo as fast as they are answered, then 100 that
// do so at a rate which leaves the machine mostly idle.
func (b *bench) playAmong(ctx context.Context, s *servers) (figures, error) {
	args := []string{"-scenario=echo", "-size=64", "-n=100", "-uid=active"}
	f, err := b.play(ctx, s, "echo", append(args, "-inflight=1")...)
	if err != nil {
		return nil, err
	}
	calm, err := b.play(ctx, s, "echo", append(args, fmt.Sprint("-rate=", crowdRate))...)
	if err != nil {
		return nil, err
	}
	f[p99Rate] = calm[p99]
	return f, nil
}
