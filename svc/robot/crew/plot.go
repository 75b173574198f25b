package crew

import (
	_ "embed"
	"fmt"
	"html/template"
	"math"
	"os"
	"strings"
	"time"

	"github.com/davyxu/cellmesh_demo/svc/robot/robotapi"
)

//go:embed plot.html
var plotPage string

// Size of a chart, in pixels of its own, and its margins.
const (
	chartWidth, chartHeight                    = 860, 240
	chartLeft, chartRight, chartTop, chartFoot = 60, 12, 10, 22
)

// maxPoints is how many points a curve has at most; a longer run has one for
// several seconds.
const maxPoints = 400

// chart is one picture of a page.
type chart struct {
	Title          string
	Width, Height  int
	XTicks, YTicks []tickMark
	Curves         []curve
}

// tickMark is a line across the chart with its label.
type tickMark struct {
	At    string
	Label string
}

func markAt(at float64, label string) tickMark { return tickMark{fmt.Sprintf("%.1f", at), label} }

// curve is one line of a chart.
type curve struct {
	Name   string
	Color  string
	Points string // of an SVG polyline
}

var colors = []string{"#2a7de1", "#e4572e", "#2e9e6b", "#a05ed6", "#c9a227", "#d6457f", "#4bb5c1", "#7d7d7d", "#8c564b", "#3f51b5", "#9acd32", "#e91e9c"}

// writePlot writes the report as a page: rate and latency over time, and the
// figures.
func writePlot(file string, r *robotapi.Report) error {
	page, err := template.New("plot").Funcs(template.FuncMap{
		"micros": micros,
		"pace":   func() string { return paceOf(r) },
		"more":   func() int64 { return r.ViolationCount - int64(len(r.Violations)) },
		"edges": func() map[string]int {
			return map[string]int{"left": chartLeft, "right": chartWidth - chartRight, "bottom": chartHeight - chartFoot}
		},
	}).Parse(plotPage)
	if err != nil {
		return err
	}
	var b strings.Builder
	if err := page.Execute(&b, map[string]any{"R": r, "Charts": charts(r), "Time": time.Now().UTC().Format(time.RFC3339)}); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(b.String()), 0o644)
}

// charts are the pictures of a report.
func charts(r *robotapi.Report) []chart {
	if len(r.Timeline) == 0 {
		return nil
	}
	value := func(name string, none float64, of func(robotapi.OpSecond) float64) func(robotapi.Second) float64 {
		return func(s robotapi.Second) float64 {
			for _, o := range s.Ops {
				if o.Name == name {
					return of(o)
				}
			}
			return none
		}
	}
	var rates, latencies []series
	for i, op := range r.Ops {
		color := colors[i%len(colors)]
		rates = append(rates, series{op.Name, color, value(op.Name, 0, func(o robotapi.OpSecond) float64 { return o.PerSecond })})
		latencies = append(latencies, series{op.Name + " p99", color, value(op.Name, math.NaN(), func(o robotapi.OpSecond) float64 { return o.P99 })})
	}
	if len(r.Ops) == 1 {
		latencies = append(latencies, series{r.Ops[0].Name + " p50", colors[2], value(r.Ops[0].Name, math.NaN(), func(o robotapi.OpSecond) float64 { return o.P50 })})
	}
	return []chart{
		draw("operations a second", r.Timeline, rates, false),
		draw("latency (logarithmic)", r.Timeline, latencies, true),
		draw("online, and what went wrong in each second", r.Timeline, []series{
			{"online", colors[0], func(s robotapi.Second) float64 { return float64(s.Online) }},
			{"errors", colors[1], func(s robotapi.Second) float64 { return float64(s.Errors) }},
			{"violations", colors[3], func(s robotapi.Second) float64 { return float64(s.Violations) }},
		}, false),
	}
}

// series is a value of each second.
type series struct {
	name, color string
	value       func(robotapi.Second) float64 // NaN: there is none
}

// draw draws series over time; logarithmic values are microseconds.
func draw(title string, timeline []robotapi.Second, all []series, logarithmic bool) chart {
	c := chart{Title: title, Width: chartWidth, Height: chartHeight}
	end, low, high := timeline[len(timeline)-1].At, math.Inf(1), 0.0
	for _, s := range all {
		for _, second := range timeline {
			if v := s.value(second); v > 0 {
				low, high = min(low, v), max(high, v)
			}
		}
	}
	if high == 0 {
		low, high = 1, 1
	}
	y := func(v float64) float64 { return chartTop + (chartHeight-chartTop-chartFoot)*(1-v) } // 0 to 1
	scale := func(v float64) float64 { return y(v / high) }
	if logarithmic {
		from, to := math.Floor(math.Log10(low)), math.Ceil(math.Log10(high))
		if to <= from {
			to = from + 1
		}
		scale = func(v float64) float64 { return y((math.Log10(max(v, math.Pow(10, from))) - from) / (to - from)) }
		for d := from; d <= to; d++ {
			c.YTicks = append(c.YTicks, markAt(scale(math.Pow(10, d)), micros(math.Pow(10, d))))
		}
	} else {
		step := roundStep(high / 4)
		high = math.Ceil(high/step) * step
		for v := 0.0; v <= high; v += step {
			c.YTicks = append(c.YTicks, markAt(scale(v), amount(v)))
		}
	}
	x := func(at float64) float64 { return chartLeft + (chartWidth-chartLeft-chartRight)*at/end }
	for step, at := roundStep(end/8), 0.0; at <= end; at += step {
		c.XTicks = append(c.XTicks, markAt(x(at), fmt.Sprintf("%gs", at)))
	}
	for _, s := range all {
		c.Curves = append(c.Curves, curve{s.name, s.color, points(timeline, s.value, x, scale)})
	}
	return c
}

// points are those of a curve; of several seconds the highest value counts.
func points(timeline []robotapi.Second, value func(robotapi.Second) float64, x, y func(float64) float64) string {
	every := (len(timeline) + maxPoints - 1) / maxPoints
	var b strings.Builder
	highest := math.NaN()
	for i, s := range timeline {
		if v := value(s); math.IsNaN(highest) || v > highest {
			highest = v
		}
		if (i+1)%every == 0 || i == len(timeline)-1 {
			if !math.IsNaN(highest) {
				if b.Len() == 0 && i < every { // what a second was like it was from its beginning
					fmt.Fprintf(&b, "%.1f,%.1f ", x(0), y(highest))
				}
				fmt.Fprintf(&b, "%.1f,%.1f ", x(s.At), y(highest))
			}
			highest = math.NaN()
		}
	}
	return b.String()
}

// amount is a number in a few characters.
func amount(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%gM", v/1e6)
	case v >= 1e4:
		return fmt.Sprintf("%gk", v/1e3)
	}
	return fmt.Sprintf("%g", v)
}

// roundStep is the next of 1, 2, 5, 10, ... that is not below v.
func roundStep(v float64) float64 {
	if v <= 0 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5} {
		if m*power >= v {
			return m * power
		}
	}
	return 10 * power
}
