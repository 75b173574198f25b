// Notice shows a line to clients, all of them, one player, or a group:
//
//	go run ./tool/notice -text="The servers restart in 5 minutes."
//	go run ./tool/notice -text="Thank you for the report." -uid=alice
//	go run ./tool/notice -text="This room is being watched." -group=room/tavern
//
// It asks all agents through hub, waits until each has answered, and tells how
// many clients it was sent to. Each client gets it once: an agent that is asked
// again remembers. Clients that understand lines see it as the operator's, others
// as chat.
package main

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
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/hub/hubapi"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

func main() { basefx.Main("notice", New, basefx.Guest) }

// askEvery is after how long agents that have not answered are asked again.
const askEvery = time.Second

type notice struct {
	q    pb.NoticeREQ
	wait time.Duration

	app *basefx.App
	hub *hubapi.Hub
}

// New makes the tool and adds its flags.
func New(fs *flag.FlagSet) basefx.Service {
	n := &notice{}
	fs.StringVar(&n.q.Text, "text", "", "what to say")
	fs.StringVar(&n.q.Uid, "uid", "", "to this player only")
	fs.StringVar(&n.q.Group, "group", "", "to the members of this group of clients only")
	fs.DurationVar(&n.wait, "wait", 5*time.Second, "how long to wait for agents to answer")
	basefx.Default(fs, "loglevel", "error")
	basefx.Default(fs, "httpaddr", "")
	return n
}

// Start sends the notice, and stops the process.
func (n *notice) Start(_ context.Context, app *basefx.App) error {
	switch {
	case n.q.Text == "":
		return errors.New("nothing to say: -text is empty")
	case n.q.Uid != "" && n.q.Group != "":
		return errors.New("-uid or -group, not both")
	}
	n.app, n.hub = app, hubapi.Join(app)
	n.q.Id = uint64(time.Now().UnixNano())
	app.Go("notice", func(ctx context.Context) error {
		app.Stop(n.run(ctx))
		return nil
	})
	return nil
}

// run asks until all agents have answered, and tells how many clients have seen
// it.
func (n *notice) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, n.wait)
	defer cancel()
	seen := map[string]uint32{}
	var err error
	for {
		if missing := n.missing(seen); len(missing) == 0 {
			return n.tell(seen, nil)
		}
		if err = n.ask(ctx, seen); err != nil && ctx.Err() == nil {
			return err
		}
		if ctx.Err() != nil {
			break
		}
	}
	missing := n.missing(seen)
	switch {
	case len(missing) == 0:
		err = nil
	case len(n.app.Links.Named("hub")) == 0:
		err = fmt.Errorf("no hub is linked: go run ./svc/hub%s", n.trouble())
	case len(seen) == 0 && missing[0] == noAgent:
		err = errors.New("no agent is running: go run ./svc/agent")
	default:
		err = fmt.Errorf("%s did not answer within %v: its clients may not have seen it", strings.Join(missing, ", "), n.wait)
	}
	return n.tell(seen, err)
}

func (n *notice) trouble() string {
	if t := n.app.Links.Trouble("hub"); t != "" {
		return " (" + t + ")"
	}
	return ""
}

// noAgent stands for the agent that is missing when there is none at all.
const noAgent = "an agent"

// missing are the agents that have not answered.
func (n *notice) missing(seen map[string]uint32) (ids []string) {
	for svc := range n.app.Registry.Snapshot().Services("agent") {
		if _, has := seen[svc.ID]; !has && svc.State != discovery.Starting && n.app.Allows(svc) {
			ids = append(ids, svc.ID)
		}
	}
	if len(ids) == 0 && len(seen) == 0 {
		ids = []string{noAgent}
	}
	return ids
}

// ask asks all agents, and notes who answers, until none is missing or for a
// second. Only what asking again cannot mend is an error.
func (n *notice) ask(ctx context.Context, seen map[string]uint32) error {
	ctx, cancel := context.WithTimeout(ctx, askEvery)
	defer cancel()
	var refused error
	err := hubapi.Gather(ctx, n.hub, "agent", &n.q, func(from string, a *pb.NoticeACK, err error) (more bool) {
		if refused = err; err != nil {
			return false
		}
		seen[from] = a.Seen
		return len(n.missing(seen)) > 0
	})
	if errors.Is(err, hubapi.ErrNoResponder) { // agents are about to subscribe, or there are none
		select {
		case <-time.After(askEvery / 10):
		case <-ctx.Done():
		}
		return nil
	}
	if err != nil && ctx.Err() == nil {
		return err
	}
	return refused
}

// tell prints how many clients have seen it.
func (n *notice) tell(seen map[string]uint32, err error) error {
	sum, each := uint32(0), []string{}
	for _, id := range slices.Sorted(maps.Keys(seen)) {
		sum += seen[id]
		each = append(each, fmt.Sprintf("%s %d", id, seen[id]))
	}
	if len(seen) > 0 {
		clients := fmt.Sprintf("%d clients", sum)
		switch sum {
		case 0:
			clients = "nobody"
		case 1:
			clients = "1 client"
		}
		fmt.Fprintf(n.app.Stdout, "seen by %s: %s\n", clients, strings.Join(each, ", "))
	}
	return err
}
