package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// table shows what runs where.
func (d *demo) table() {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "service\tpid\tclients at\tservices at\tmetrics at\tlog")
	fmt.Fprintf(w, "memsd\t%d\t-\t%s\t%s\t%s\n", d.memsd.pid(), d.memsdAddr, d.memsdMetrics, d.memsd.log.shown())
	registered := d.registered()
	for _, p := range d.services() {
		svc := registered[p]
		if p.program == robot {
			fmt.Fprintf(w, "robots\t%d\t-\t-\t-\t%s\n", p.pid(), p.log.shown())
			continue
		}
		if svc == nil { // gone in this moment, which is told as well
			continue
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\n", svc.ID, p.pid(),
			orDash(svc.Meta[discovery.MetaWAN]), orDash(svc.Addr), orDash(svc.Meta[discovery.MetaHTTP]), p.log.shown())
	}
	w.Flush()
	d.say.line("\n%s\nmore about it: go run ./svc/memsd -cmd=viewsvc -sdaddr=%s\na line is chat with everybody; /help lists commands; /quit or Ctrl-C ends all of it\n", b.String(), d.memsdAddr)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
