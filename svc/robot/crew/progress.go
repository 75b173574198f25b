package crew

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/davyxu/cellmesh_demo/svc/robot/robotapi"
)

// progress tells how a run goes while it goes. It belongs to the goroutine that
// runs it.
type progress struct {
	out      io.Writer
	mode     string // panel, plain, json, none
	width    func() int
	scenario string
	lasts    time.Duration // 0: until interrupted
	drawn    int           // lines of the panel that stand where the next line goes
}

// newProgress makes the progress of that -progress.
func newProgress(mode string, out io.Writer, scenario string, lasts time.Duration) (*progress, error) {
	p := &progress{out: out, mode: mode, scenario: scenario, lasts: lasts, width: func() int { return 100 }}
	file, isFile := out.(*os.File)
	terminal := isFile && term.IsTerminal(int(file.Fd()))
	if terminal {
		p.width = func() int {
			if width, _, err := term.GetSize(int(file.Fd())); err == nil && width > 0 {
				return width
			}
			return 80
		}
	}
	switch mode {
	case "auto":
		p.mode = "plain"
		if terminal && runtime.GOOS != "windows" && os.Getenv("TERM") != "dumb" {
			p.mode = "panel"
		}
	case "panel", "plain", "json", "none":
	default:
		return nil, fmt.Errorf("%q is not auto, panel, plain, json or none", mode)
	}
	return p, nil
}

// phase tells that a phase has begun, or goes on.
func (p *progress) phase(phase string, online, robots int) {
	text := fmt.Sprintf("%s: %d of %d", phase, online, robots)
	switch {
	case p.mode == "json":
		p.event(robotapi.Event{Phase: phase, Online: online, Robots: robots, Left: p.lasts.Seconds()})
	case p.mode == "panel" && phase == robotapi.Measured:
	case p.mode == "panel":
		p.draw(p.scenario + ", " + text)
	case p.mode == "plain":
		fmt.Fprintln(p.out, text)
	}
}

// note tells a person why nothing happens.
func (p *progress) note(text string) {
	switch p.mode {
	case "panel":
		p.draw(p.scenario + ", " + text)
	case "plain":
		fmt.Fprintln(p.out, text)
	}
}

// second tells of a second that was measured; errors are those of the whole run.
func (p *progress) second(s *robotapi.Second, robots int, violations int64, errors []robotapi.Error) {
	left := "until interrupted"
	if p.lasts > 0 {
		left = fmt.Sprintf("left %.0fs", max(p.lasts.Seconds()-s.At, 0))
	}
	failed := int64(0)
	for _, e := range errors {
		failed += e.Count
	}
	switch p.mode {
	case "json":
		p.event(robotapi.Event{Phase: robotapi.Measuring, Online: s.Online, Robots: robots, Left: max(p.lasts.Seconds()-s.At, 0), Second: s})
	case "plain":
		fmt.Fprintf(p.out, "%4.0fs online %d  ops/s %-7.0f p50 %-8s p99 %-8s errors %d  violations %d  %s\n", s.At, s.Online, s.PerSecond, latency(s.PerSecond, s.P50), latency(s.PerSecond, s.P99), failed, violations, left)
	case "panel":
		p.draw(p.panel(s, robots, violations, failed, left, errors)...)
	}
}

// maxErrorsShown is how many codes of errors the panel has room for.
const maxErrorsShown = 5

func (p *progress) panel(s *robotapi.Second, robots int, violations, failed int64, left string, errors []robotapi.Error) []string {
	lines := []string{
		fmt.Sprintf("%s %s %.0fs, %s", p.scenario, p.bar(s.At), s.At, left),
		fmt.Sprintf("online %d of %d   %.0f ops/s   p50 %s   p99 %s", s.Online, robots, s.PerSecond, latency(s.PerSecond, s.P50), latency(s.PerSecond, s.P99)),
		fmt.Sprintf("errors %d   violations %d", failed, violations),
	}
	if len(s.Ops) > 1 {
		for _, o := range s.Ops {
			lines = append(lines, fmt.Sprintf("  %-10s %10.0f/s   p50 %s   p99 %s", o.Name, o.PerSecond, micros(o.P50), micros(o.P99)))
		}
	}
	for i, e := range errors {
		if i == maxErrorsShown {
			lines = append(lines, fmt.Sprintf("  and %d other codes", len(errors)-i))
			break
		}
		lines = append(lines, fmt.Sprintf("  %8d x %s", e.Count, e.Code))
	}
	return lines
}

// latency is a latency in words, if there was anything to have one.
func latency(perSecond, us float64) string {
	if perSecond == 0 {
		return "-"
	}
	return micros(us)
}

// bar shows how much of the time has passed.
func (p *progress) bar(at float64) string {
	const width = 30
	if p.lasts <= 0 {
		return ""
	}
	full := min(int(width*at/p.lasts.Seconds()), width)
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", width-full) + "]"
}

// draw puts lines where the last ones stand.
func (p *progress) draw(lines ...string) {
	var b strings.Builder
	if p.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", p.drawn)
	}
	b.WriteString("\r\x1b[J") // all below goes
	for _, l := range lines {
		if r, width := []rune(l), p.width(); len(r) >= width {
			l = string(r[:width-1])
		}
		b.WriteString(l)
		b.WriteByte('\n')
	}
	p.drawn = len(lines)
	io.WriteString(p.out, b.String())
}

// end is the end of what changes: the last state stays.
func (p *progress) end() { p.drawn = 0 }

func (p *progress) event(e robotapi.Event) {
	text, err := json.Marshal(e)
	if err != nil { // no value of it is anything that has no JSON
		return
	}
	fmt.Fprintf(p.out, "%s\n", text)
}
