package command

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/davyxu/cellmesh_demo/util/discovery"
)

type keyValue struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

func (r *run) print(format string, args ...any) error {
	_, err := fmt.Fprintf(r.o.Out, format, args...)
	return err
}

func (r *run) json(v any) error {
	enc := json.NewEncoder(r.o.Out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// table prints rows in columns; the first row is the heading.
func (r *run) table(rows ...[]string) error {
	w := tabwriter.NewWriter(r.o.Out, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		if _, err := fmt.Fprintln(w, strings.TrimRight(strings.Join(row, "\t"), "\t")); err != nil {
			return err
		}
	}
	return w.Flush()
}

func (r *run) viewServices([]string) error {
	services := slices.Collect(r.state.Services(""))
	if r.o.JSON {
		return r.json(append([]*discovery.Service{}, services...)) // [] rather than null
	}
	if len(services) == 0 {
		return r.print("no services\n")
	}
	rows := [][]string{{"SERVICE", "STATE", "ADDRESS", "EPOCH", "META"}}
	for _, svc := range services {
		addr := svc.Addr
		if addr == "" {
			addr = "-"
		}
		rows = append(rows, []string{svc.ID, string(svc.State), addr, strconv.FormatUint(svc.Epoch, 10), meta(svc.Meta)})
	}
	return r.table(rows...)
}

func meta(m map[string]string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		v := m[k]
		if v == "" || strings.ContainsAny(v, " \t\r\n\"") {
			v = strconv.Quote(v)
		}
		parts = append(parts, k+"="+v)
	}
	return strings.Join(parts, " ")
}

func (r *run) viewKeys(args []string) error {
	prefix := ""
	if len(args) > 0 {
		prefix = args[0]
	}
	rows := [][]string{{"KEY", "BYTES", "VALUE"}}
	list := []keyValue{}
	for k, v := range r.state.Values(prefix) {
		rows = append(rows, []string{k, strconv.Itoa(len(v)), preview(v)})
		list = append(list, keyValue{Key: k, Value: v})
	}
	switch {
	case r.o.JSON:
		return r.json(list)
	case len(list) == 0 && prefix != "":
		return r.print("no keys that begin with %q\n", prefix)
	case len(list) == 0:
		return r.print("no keys\n")
	}
	return r.table(rows...)
}

// preview is value on one line, cut to what a terminal shows well.
func preview(value string) string {
	const most = 60
	value = strings.Join(strings.Fields(value), " ")
	if utf8.RuneCountInString(value) > most {
		value = string([]rune(value)[:most]) + "…"
	}
	// What would move the cursor is shown, not done.
	return strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return '?'
		}
		return c
	}, value)
}

// change as watch prints it with -json.
type change struct {
	Revision uint64             `json:"revision"`
	Time     time.Time          `json:"time"`
	Reset    bool               `json:"reset,omitempty"`
	Service  *discovery.Service `json:"service,omitempty"`
	Key      string             `json:"key,omitempty"`
	Value    string             `json:"value,omitempty"`
	Deleted  bool               `json:"deleted,omitempty"`
}

func (r *run) watch(args []string) error {
	prefix := ""
	if len(args) > 0 {
		prefix = args[0]
	}
	if !r.o.JSON {
		if err := r.print("watching from revision %d\n", r.state.Revision()); err != nil {
			return err
		}
	}
	for ev := range r.client.Watch(r.ctx, r.state.Revision()) {
		now := time.Now()
		if ev.Reset != nil {
			if err := r.watched(change{Revision: ev.Revision, Time: now, Reset: true}); err != nil {
				return err
			}
		}
		for _, c := range ev.Changes {
			name := c.Key
			if c.Service != nil {
				name = c.Service.ID
			}
			if !strings.HasPrefix(name, prefix) {
				continue
			}
			out := change{Revision: ev.Revision, Time: now, Service: c.Service, Key: c.Key, Value: c.Value, Deleted: c.Deleted}
			if err := r.watched(out); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *run) watched(c change) error {
	if r.o.JSON {
		b, err := json.Marshal(c)
		if err != nil {
			return err
		}
		return r.print("%s\n", b)
	}
	at := fmt.Sprintf("%s  %6d  ", c.Time.Format("15:04:05.000"), c.Revision)
	switch {
	case c.Reset:
		return r.print("%sreset: changes were missed; list everything with -cmd=viewsvc and -cmd=viewkey\n", at)
	case c.Service != nil && c.Deleted:
		return r.print("%s-svc  %s\n", at, c.Service.ID)
	case c.Service != nil:
		return r.print("%s+svc  %s %s %s %s\n", at, c.Service.ID, c.Service.State, c.Service.Addr, meta(c.Service.Meta))
	case c.Deleted:
		return r.print("%s-key  %s\n", at, c.Key)
	}
	return r.print("%s+key  %s = %s\n", at, c.Key, preview(c.Value))
}

func (r *run) status([]string) error {
	st, err := r.client.Status(r.asked)
	if err != nil {
		return err
	}
	if r.o.JSON {
		return r.json(st)
	}
	file, wrote, failed := "none: values are lost when memsd ends", "not since the start", "no"
	if st.File != "" {
		file = fmt.Sprintf("%s, %d bytes, %d more in the journal", st.File, st.FileSize, st.Journal)
	}
	if !st.LastWrite.IsZero() {
		wrote = st.LastWrite.Format(time.DateTime)
	}
	if st.LastError != "" {
		failed = st.LastError
	}
	return r.table(
		[]string{"address", st.Address},
		[]string{"process", fmt.Sprintf("%d, version %s", st.PID, st.Version)},
		[]string{"up for", time.Since(st.Started).Round(time.Second).String()},
		[]string{"revision", strconv.FormatUint(st.Revision, 10)},
		[]string{"services", strconv.Itoa(st.Services)},
		[]string{"keys", fmt.Sprintf("%d, %d bytes", st.Keys, st.Bytes)},
		[]string{"clients", fmt.Sprintf("%d, of them watching %d", st.Clients, st.Watchers)},
		[]string{"file", file},
		[]string{"last write", wrote},
		[]string{"failing", failed},
	)
}
