// Package command has what memsd's -cmd flag does: it asks a running memsd and prints the answer, for people or as JSON.
//
// Open command.go first; view.go prints.
package command

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// Options of all commands.
type Options struct {
	Addr   string      // of memsd
	Secret string      // the cluster secret
	TLS    *tls.Config // not nil: connect with TLS
	JSON   bool        // print JSON instead of text: one value; watch prints one a line
	Out    io.Writer
}

// How long memsd may take until it is reached and has given its state, and then until it answers.
const (
	connectPatience = 2 * time.Second
	answerPatience  = 10 * time.Second
)

// ErrUsage is wrapped by errors about the command line.
var ErrUsage = errors.New("usage")

type command struct {
	name     string
	args     string // as shown to people
	min, max int    // number of arguments
	does     string
	run      func(r *run, args []string) error
}

func commands() []command {
	return []command{
		{"viewsvc", "", 0, 0, "list the services", (*run).viewServices},
		{"viewkey", "[prefix]", 0, 1, "list the keys that begin with prefix", (*run).viewKeys},
		{"getvalue", "key", 1, 1, "print the value of a key; exit code 1 if it is not set", (*run).getValue},
		{"setvalue", "key value", 2, 2, "set a key", (*run).setValue},
		{"deletevalue", "key", 1, 1, "delete a key", (*run).deleteValue},
		{"clearsvc", "", 0, 0, "forget all services; those that live register again", (*run).clearServices},
		{"clearvalue", "[prefix]", 0, 1, "delete all keys that begin with prefix", (*run).clearValues},
		{"watch", "[prefix]", 0, 1, "print changes of services and keys as they come, until Ctrl-C", (*run).watch},
		{"status", "", 0, 0, "how memsd is", (*run).status},
	}
}

// Usage lists the commands, one a line.
func Usage() string {
	var b strings.Builder
	for _, c := range commands() {
		fmt.Fprintf(&b, "  %-24s %s\n", strings.TrimSpace("-cmd="+c.name+" "+c.args), c.does)
	}
	return b.String()
}

// run is one command under way.
type run struct {
	ctx    context.Context // ends with the user's patience
	asked  context.Context // ends with ours, if memsd does not answer
	client *discovery.Client
	state  *discovery.Snapshot // as it was when memsd was reached
	o      Options
}

// Run does the command name. Errors are for the user, who is to see them with exit code 1. ctx ends a watch.
func Run(ctx context.Context, o Options, name string, args []string) error {
	all := commands()
	i := slices.IndexFunc(all, func(c command) bool { return c.name == name })
	if i < 0 {
		return fmt.Errorf("%w: there is no command %q; these are:\n%s", ErrUsage, name, Usage())
	}
	c := all[i]
	if len(args) < c.min || len(args) > c.max {
		return fmt.Errorf("%w: memsd -cmd=%s %s", ErrUsage, c.name, c.args)
	}
	client := discovery.Dial(ctx, o.Addr, discovery.Options{Name: "memsd -cmd=" + name, Secret: o.Secret, TLS: o.TLS})
	defer func() { _ = client.Close() }()
	state, err := reach(ctx, client)
	if err != nil {
		return err
	}
	asked, cancel := context.WithTimeout(ctx, answerPatience)
	defer cancel()
	return c.run(&run{ctx: ctx, asked: asked, client: client, state: state, o: o}, args)
}

// reach waits for the state of memsd. A memsd that is just being started is waited for; one that refuses us is not.
func reach(ctx context.Context, client *discovery.Client) (*discovery.Snapshot, error) {
	began := time.Now()
	for {
		look, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		s, err := client.Wait(look, 0)
		cancel()
		if err == nil || ctx.Err() != nil {
			return s, err
		}
		down := client.Connected()
		switch {
		case errors.Is(down, discovery.ErrRefused):
			return nil, down
		case down == nil && time.Since(began) > answerPatience:
			return nil, fmt.Errorf("memsd does not give its state: %w", err)
		case down != nil && time.Since(began) > connectPatience:
			return nil, fmt.Errorf("%w\nis memsd running there? start it with: go run ./svc/memsd -datafile=persist.json", down)
		}
	}
}

func (r *run) getValue(args []string) error {
	value, ok := r.state.Value(args[0])
	if !ok {
		return fmt.Errorf("key %q is not set", args[0])
	}
	if r.o.JSON {
		return r.json(keyValue{Key: args[0], Value: value})
	}
	return r.print("%s\n", value)
}

// change applies operations and tells at which revision, or that there was nothing to change.
func (r *run) change(did, didNot string, ops ...discovery.Op) error {
	revision, err := r.client.Apply(r.asked, ops...)
	if err != nil {
		return err
	}
	changed := revision > r.state.Revision() // unless somebody else changed something in this moment: then it is said too often
	if r.o.JSON {
		return r.json(struct {
			Revision uint64 `json:"revision"`
			Changed  bool   `json:"changed"`
		}{revision, changed})
	}
	if !changed {
		return r.print("%s (revision %d)\n", didNot, revision)
	}
	return r.print("%s (revision %d)\n", did, revision)
}

func (r *run) setValue(args []string) error {
	return r.change(fmt.Sprintf("%s is set, %d bytes", args[0], len(args[1])), args[0]+" had this value already",
		discovery.SetOp(args[0], args[1]))
}

func (r *run) deleteValue(args []string) error {
	return r.change(args[0]+" is deleted", args[0]+" was not set", discovery.DeleteOp(args[0]))
}

func (r *run) clearValues(args []string) error {
	prefix := ""
	if len(args) > 0 {
		prefix = args[0]
	}
	n := 0
	for range r.state.Values(prefix) {
		n++
	}
	return r.change(fmt.Sprintf("%d keys are deleted", n), "there was no such key", discovery.ClearOp(prefix))
}

func (r *run) clearServices([]string) error {
	if err := r.client.ForgetServices(r.asked); err != nil {
		return err
	}
	n, _ := r.state.Len()
	if r.o.JSON {
		return r.json(map[string]int{"forgotten": n})
	}
	return r.print("%d services are forgotten; those that live register again at once\n", n)
}
