package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/davyxu/cellmesh_demo/util/discovery"
)

const (
	// startTimeout is how long the services may take until all are ready.
	startTimeout = time.Minute
	// patience is how long they may take before the person is told for what
	// they wait.
	patience = 2 * time.Second
	// lookEvery is how often the local snapshot of discovery is looked at.
	lookEvery = 20 * time.Millisecond
)

// waitReady waits until discovery shows every process as ready.
func (d *demo) waitReady(ctx context.Context) error {
	timeout := time.NewTimer(startTimeout)
	defer timeout.Stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	late := time.Now().Add(patience)
	told := map[string]bool{}
	for {
		waiting := d.waiting()
		if len(waiting) == 0 {
			return nil
		}
		for _, w := range waiting {
			if !told[w] && time.Now().After(late) {
				told[w] = true
				d.say.line("%s", w)
			}
		}
		select {
		case <-look.C:
		case <-timeout.C:
			return fmt.Errorf("not everything is ready after %v:\n%s", startTimeout, strings.Join(waiting, "\n"))
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// waiting says about every process that is not ready what it waits for.
func (d *demo) waiting() []string {
	var all []string
	registered := d.registered()
	for _, p := range d.services() {
		switch svc := registered[p]; {
		case svc == nil:
			all = append(all, p.name+" has not registered yet, see "+p.log.shown())
		case svc.State == discovery.Ready:
		case svc.Meta[discovery.MetaWaits] != "":
			all = append(all, p.name+" is "+svc.Meta[discovery.MetaWaits])
		default:
			all = append(all, p.name+" is "+string(svc.State)+", see "+p.log.shown())
		}
	}
	return all
}

// registered finds, by process ID, what discovery shows of our processes.
func (d *demo) registered() map[*process]*discovery.Service {
	found := map[*process]*discovery.Service{}
	snap := d.reg.Snapshot()
	for _, p := range d.services() {
		pid := strconv.Itoa(p.pid())
		for svc := range snap.Services(p.program) {
			if svc.Meta[discovery.MetaPID] == pid {
				found[p] = svc
			}
		}
	}
	return found
}
