// Package board is the cluster as a table: what discovery knows of every service
// and what the service last said about itself. The hub shows it as a page, and
// tool/status on a terminal. There is one file.
package board

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// Stale is how old a status, which comes once a second, may be before it is
// pointed out.
const Stale = 3 * time.Second

// Heard is a status and its age.
type Heard struct {
	*pb.ServiceStatus
	Age time.Duration
}

// Row is one service.
type Row struct {
	Service  string   `json:"service"`           // svcid
	State    string   `json:"state"`             // in discovery; "gone" if it is not there (any more)
	Waits    string   `json:"waits,omitempty"`   // for what, while it starts
	Addr     string   `json:"addr,omitempty"`    // where services link to it
	Clients  string   `json:"clients,omitempty"` // where clients connect
	HTTP     string   `json:"http,omitempty"`
	PID      string   `json:"pid,omitempty"`
	Version  string   `json:"version,omitempty"`
	Said     bool     `json:"said"`             // the rest is known
	AgeMs    int64    `json:"age_ms,omitempty"` // of the rest
	Stale    bool     `json:"stale,omitempty"`  // it is older than 3 s
	Players  uint32   `json:"players"`
	Load     float64  `json:"load"` // 0 to 1
	Draining bool     `json:"draining,omitempty"`
	UptimeMs int64    `json:"uptime_ms,omitempty"`
	Links    []string `json:"links,omitempty"` // svcids
}

// Rows joins what is known, ordered by name, group and index.
func Rows(snap *discovery.Snapshot, said []Heard) []Row {
	known := map[string]Heard{}
	for _, h := range said {
		if old, twice := known[h.Svcid]; !twice || h.Age < old.Age {
			known[h.Svcid] = h
		}
	}
	rows := []Row{} // in JSON [] rather than null
	for svc := range snap.Services("") {
		r := Row{
			Service: svc.ID, State: string(svc.State), Addr: svc.Addr, Waits: svc.Meta[discovery.MetaWaits], Clients: svc.Meta[discovery.MetaWAN],
			HTTP: svc.Meta[discovery.MetaHTTP], PID: svc.Meta[discovery.MetaPID], Version: svc.Meta[discovery.MetaVersion],
		}
		if h, ok := known[svc.ID]; ok && h.Epoch >= svc.Epoch {
			r.fill(h)
		}
		delete(known, svc.ID)
		rows = append(rows, r)
	}
	for id, h := range known {
		if h.Age < Stale { // it drains; those that are silent too are of no interest
			r := Row{Service: id, State: "gone"}
			r.fill(h)
			rows = append(rows, r)
		}
	}
	slices.SortFunc(rows, func(a, b Row) int { return compareIDs(a.Service, b.Service) })
	return rows
}

func (r *Row) fill(h Heard) {
	r.Said, r.AgeMs, r.Stale = true, h.Age.Milliseconds(), h.Age >= Stale
	r.Players, r.Load, r.Draining, r.UptimeMs, r.Links = h.Players, h.Load, h.Draining, h.UptimeMs, h.Links
	r.Version = cmp.Or(h.Version, r.Version)
}

func compareIDs(a, b string) int {
	nameA, indexA, groupA, _ := discovery.ParseID(a)
	nameB, indexB, groupB, _ := discovery.ParseID(b)
	return cmp.Or(cmp.Compare(nameA, nameB), cmp.Compare(groupA, groupB), cmp.Compare(indexA, indexB), cmp.Compare(a, b))
}

// JSON writes rows for scripts.
func JSON(w io.Writer, rows []Row) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(rows)
}

// Text writes rows for people. With colour, what needs looking at is red.
func Text(w io.Writer, rows []Row, colour bool) error {
	if len(rows) == 0 {
		_, err := fmt.Fprintln(w, "no services")
		return err
	}
	var text strings.Builder
	t := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SERVICE\tSTATE\tPLAYERS\tLOAD\tUPTIME\tLINKS\tVERSION\tSTATUS\tSERVICES AT\tCLIENTS AT\tHTTP AT")
	for _, r := range rows {
		fmt.Fprintln(t, strings.Join(r.cells(), "\t"))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	lines := strings.SplitAfter(strings.TrimSuffix(text.String(), "\n"), "\n")
	for i, line := range lines {
		line = strings.TrimRight(line, " \n")
		switch {
		case colour && i == 0:
			line = "\x1b[1m" + line + "\x1b[0m"
		case colour && rows[i-1].wrong():
			line = "\x1b[31m" + line + "\x1b[0m"
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

// wrong reports whether somebody should look at the service.
func (r *Row) wrong() bool { return r.State != string(discovery.Ready) || r.Stale || !r.Said }

func (r *Row) cells() []string {
	state := r.State
	if r.Draining {
		state += ", draining"
	}
	if r.Waits != "" {
		state += ", " + r.Waits
	}
	cells := []string{r.Service, state, "-", "-", "-", "-", or(r.Version), "silent", or(r.Addr), or(r.Clients), or(r.HTTP)}
	if !r.Said {
		return cells
	}
	copy(cells[2:], []string{fmt.Sprint(r.Players), fmt.Sprintf("%.0f%%", 100*r.Load), duration(r.UptimeMs), fmt.Sprint(len(r.Links))})
	if cells[7] = "live"; r.Stale {
		cells[7] = duration(r.AgeMs) + " old"
	}
	return cells
}

func or(s string) string { return cmp.Or(s, "-") }

func duration(ms int64) string {
	d := time.Duration(ms) * time.Millisecond
	if d >= 48*time.Hour {
		return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
	}
	if d >= time.Hour {
		return fmt.Sprintf("%dh%dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return d.Truncate(time.Second).String()
}
