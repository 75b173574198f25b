package main

import (
	"context"
	"sync"
)

// stop stops everything that was started, those first that depend on others.
func (d *demo) stop(ctx context.Context) {
	_ = d.setPhase(stopping)
	hurry := d.hurry
	if ctx.Err() == nil { // it is the client that has ended: the first Ctrl-C is impatience already
		hurry = ctx.Done()
	}
	if d.reg != nil {
		d.reg.Close()
	}
	for _, stage := range d.stages() {
		var stops sync.WaitGroup
		for _, p := range stage {
			stops.Go(func() { p.stop(stopTimeout, hurry, d.say) })
		}
		stops.Wait()
	}
}

// stages are the processes in the order in which they stop: robots, who lets
// clients in, who carries their messages, who handles them, and then what those use.
func (d *demo) stages() [][]*process {
	const robots, login, agent, backends, hub, memsd = 0, 1, 2, 3, 4, 5
	stages := make([][]*process, memsd+1)
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.children {
		stage := backends
		switch p.program {
		case robot:
			stage = robots
		case "login":
			stage = login
		case "agent":
			stage = agent
		case "hub":
			stage = hub
		case "memsd":
			stage = memsd
		}
		stages[stage] = append(stages[stage], p)
	}
	return stages
}
