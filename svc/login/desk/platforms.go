package desk

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/svc/login/platform"
	"github.com/davyxu/cellmesh_demo/svc/login/platform/ask"
	"github.com/davyxu/cellmesh_demo/svc/login/platform/demo"
	"github.com/davyxu/cellmesh_demo/svc/login/platform/oidc"
	"github.com/davyxu/cellmesh_demo/svc/login/platform/password"
	"github.com/davyxu/cellmesh_demo/util/sqldb"
)

// kinds are all kinds of platforms. A new one gets its line here.
func kinds() []platform.Kind {
	return []platform.Kind{
		{Name: "demo", New: demo.New},
		{Name: "password", New: password.New, Tables: password.Tables},
		{Name: "oidc", New: oidc.New, Tables: oidc.Tables},
		{Name: "http", New: ask.New},
	}
}

// platforms are those that are switched on, each behind its guard.
type platforms struct {
	on     string // -platforms
	checks int
	limit  time.Duration

	kinds []platform.Kind
	open  map[string]platform.Open // by kind
	names []string                 // of kinds
	byID  map[string]*platform.Guard
}

// register adds the flags, those of the platforms too.
func (p *platforms) register(fs *flag.FlagSet) {
	p.open = map[string]platform.Open{}
	p.kinds = kinds()
	for _, k := range p.kinds {
		p.open[k.Name] = k.New(fs)
		p.names = append(p.names, k.Name)
	}
	fs.StringVar(&p.on, "platforms", "", "who vouches for clients, with commas: "+strings.Join(p.names, ", ")+"; demo takes anybody at their word")
	fs.IntVar(&p.checks, "maxchecks", 500, "most clients that each platform checks at a time; the next are told ServerBusy")
	fs.DurationVar(&p.limit, "checktimeout", 5*time.Second, "how long a platform may take for a check; then the client is told PlatformFailed")
}

// check refuses flags that make no sense, and returns the tables of what is
// switched on.
func (p *platforms) check() (tables []sqldb.Migrations, err error) {
	switch {
	case p.checks < 1:
		return nil, fmt.Errorf("-maxchecks=%d: must be at least 1", p.checks)
	case p.limit <= 0:
		return nil, fmt.Errorf("-checktimeout=%v: must be more than 0", p.limit)
	}
	for _, name := range p.wanted() {
		i := slices.IndexFunc(p.kinds, func(k platform.Kind) bool { return k.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("-platforms=%s: there is no %q; there are %s", p.on, name, strings.Join(p.names, ", "))
		}
		if t := p.kinds[i].Tables; t != nil {
			tables = append(tables, t())
		}
	}
	if len(p.wanted()) == 0 {
		return nil, errors.New("-platforms is empty, so nobody could log in: give some of " + strings.Join(p.names, ", ") + " (for developing: -platforms=demo, or the flag file cfg/LocalFlag.cfg)")
	}
	return tables, nil
}

// wanted are the kinds that are switched on, each once.
func (p *platforms) wanted() []string {
	all := strings.FieldsFunc(p.on, func(r rune) bool { return r == ',' || r == ' ' })
	slices.Sort(all)
	return slices.Compact(all)
}

// start opens what is switched on.
func (p *platforms) start(ctx context.Context, app *basefx.App, db *sqldb.DB) error {
	p.byID = map[string]*platform.Guard{}
	for _, name := range p.wanted() {
		found, err := p.open[name](platform.Env{Log: app.Logger("platform"), DB: db, Life: ctx})
		if err != nil {
			return fmt.Errorf("platform %s: %w", name, err)
		}
		for id, one := range found {
			p.add(app, id, platform.NewGuard(one, p.checks, p.limit))
		}
	}
	return nil
}

func (p *platforms) add(app *basefx.App, id string, g *platform.Guard) {
	p.byID[id] = g
	app.Go("checks of "+id, func(ctx context.Context) error { <-ctx.Done(); g.Wait(); return nil })
	labels := map[string]string{"platform": id}
	app.Gauge("login_checks", "Checks under way, those given up too, by platform.", labels, func() float64 { return float64(g.Busy()) })
	app.Counter("login_checks_full_total", "Logins refused because their platform had too many to check.", labels, func() float64 { return float64(g.Full.Load()) })
	app.Counter("login_checks_failed_total", "Checks in which the platform failed, or did not answer in time.", labels, func() float64 { return float64(g.Failed.Load()) })
}

// list names those that are switched on.
func (p *platforms) list() string { return strings.Join(slices.Sorted(maps.Keys(p.byID)), ", ") }
