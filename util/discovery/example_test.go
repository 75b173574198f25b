package discovery_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// Two processes of one cluster: a game registers, an agent finds it and follows what becomes of it.
func Example() {
	cluster := discovery.NewMemory() // in real life: discovery.Dial(ctx, "127.0.0.1:8900", discovery.Options{})
	game, agent := cluster.Open(), cluster.Open()
	defer agent.Close()
	ctx := context.Background()

	lease, err := game.Register(ctx, discovery.Service{Name: "game", Group: "dev", Index: -1, Addr: "127.0.0.1:7001", State: discovery.Starting})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("registered as", lease.Service().ID)

	seen := agent.Snapshot()
	for s := range seen.Services("game") {
		fmt.Println("agent finds", s.ID, "at", s.Addr, s.State)
	}

	_ = lease.Update(ctx, func(s *discovery.Service) { s.State = discovery.Ready })
	_ = discovery.Set(ctx, agent, "config/motd", "hello")
	_ = game.Close() // leaves

	for ev := range agent.Watch(ctx, seen.Revision()) {
		for _, c := range ev.Changes {
			switch {
			case c.Service != nil && c.Deleted:
				fmt.Println(c.Service.ID, "has left")
				return
			case c.Service != nil:
				fmt.Println(c.Service.ID, "is", c.Service.State)
			default:
				fmt.Println(c.Key, "=", c.Value)
			}
		}
	}
	// Output:
	// registered as game#0@dev
	// agent finds game#0@dev at 127.0.0.1:7001 starting
	// game#0@dev is ready
	// config/motd = hello
	// game#0@dev has left
}

// Compare and set: of two who want to be the first, one is.
func ExampleRegistry_apply() {
	r := discovery.NewMemory().Open()
	defer r.Close()
	ctx := context.Background()
	for _, who := range []string{"alice", "bob"} {
		_, err := r.Apply(ctx, discovery.SetOp("master", who).IfAbsent())
		fmt.Println(who, err == nil, errors.Is(err, discovery.ErrConflict))
	}
	// Output:
	// alice true false
	// bob false true
}

// A struct that follows the configuration of the cluster.
func ExampleBind() {
	type gameConfig struct {
		MaxPlayers int `json:"maxPlayers"`
	}
	r := discovery.NewMemory().Open()
	defer r.Close()
	_ = discovery.Set(context.Background(), r, "config/game", `{"maxPlayers": 500}`)
	config, err := discovery.Bind(r, "config/game", gameConfig{MaxPlayers: 100}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	// go config.Run(ctx, nil) would keep it up to date
	fmt.Println(config.Get().MaxPlayers)
	// Output: 500
}
