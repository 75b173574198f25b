package gateway

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/svc/agent/route"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// showRules is the page that tells which rules are in force in this agent, all
// of them or one: /routes?explain=ChatREQ.
func (g *Gateway) showRules(w http.ResponseWriter, r *http.Request) {
	t := g.rules.table.Load()
	switch message := r.URL.Query().Get("explain"); {
	case t.Len() == 0:
		http.Error(w, g.needRules(g.registry.Snapshot()), http.StatusServiceUnavailable)
	case message != "":
		fmt.Fprintln(w, t.Explain(message))
	default:
		for _, rule := range t.Rules() {
			fmt.Fprintln(w, t.Explain(rule.Msg))
		}
	}
}

// Explains reports whether the command line asks for -explain: then the program
// is NewExplainer and standalone.
func Explains(args []string) bool {
	for _, a := range args {
		if name, _, _ := strings.Cut(strings.TrimLeft(a, "-"), "="); a != name && name == "explain" {
			return true
		}
	}
	return false
}

// NewExplainer makes the program that tells which rule of those in memsd holds
// for a message, and why, and ends. It takes all flags of an agent.
func NewExplainer(fs *flag.FlagSet) basefx.Service {
	e := explainer{New(fs).(*Gateway)}
	basefx.Default(fs, "loglevel", "error")
	basefx.Default(fs, "httpaddr", "")
	return e
}

type explainer struct{ flags *Gateway }

// explainTimeout is how long memsd may take to answer.
const explainTimeout = 5 * time.Second

// Start tells, and stops the process.
func (e explainer) Start(_ context.Context, app *basefx.App) error {
	reg := app.Discover()
	app.Go("explain", func(ctx context.Context) error {
		text, err := explain(ctx, reg, e.flags.explain)
		if err == nil {
			fmt.Fprintln(app.Stdout, text)
		} else if ctx.Err() == nil {
			err = fmt.Errorf("-explain, from memsd at %s: %w", app.Flags.SDAddr, err)
		}
		app.Stop(err)
		return nil
	})
	return nil
}

// explain waits for the first contact with discovery.
func explain(ctx context.Context, reg discovery.Registry, message string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, explainTimeout, errors.New("no answer: go run ./svc/memsd"))
	defer cancel()
	snap, err := reg.Wait(ctx, 0)
	if err != nil {
		return "", cmp.Or(context.Cause(ctx), err) // the registry may have heard first that the process stops
	}
	text, ok := snap.Value(route.Key)
	if !ok {
		return "", errors.New("there are no route rules: cd proto && sh ./MakeProto.sh")
	}
	table, err := route.Parse([]byte(text))
	if err != nil {
		return "", fmt.Errorf("agents refuse the rules there and keep those they have: %w", err)
	}
	return table.Explain(message), nil
}
