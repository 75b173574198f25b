// Package scenario is what robots can be told to do. A scenario is a small
// function (see package player for what it can use) and a line in All.
//
// Open greet.go first: a whole scenario. play.go is a mix of what robots can do:
// echo.go; grow.go, with account.go, where what a player was told is checked; and
// talk.go, with stream.go, what one robot says in one channel, and ear.go, what
// another hears of it; room.go is coming and going, and what a room is about,
// history.go what is remembered. visits.go are those that come and go.
package scenario

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/robot/player"
)

// Scenario is one way to play: Play or Visit.
type Scenario struct {
	Name string
	Does string // in a line
	// Play tells one robot, before it is online, what to do.
	Play func(r *player.Robot)
	// Visit comes and goes once; robots do so again and again.
	Visit func(ctx context.Context, v player.Visit) error

	Think    time.Duration        // Options.Think if nobody says otherwise
	Features pb.VerifyREQ_Feature // that robots announce, beside Reject
}

// All are all scenarios. A new one gets its line here.
func All() []Scenario {
	return []Scenario{
		{Name: "echo", Does: "EchoREQ to the game and back; every reply is checked", Play: echo},
		{Name: "greet", Does: "says hello to the world", Play: greet, Think: time.Second},
		{Name: "broadcast", Does: "the first robot says lines of world chat, all robots check that they hear each", Play: broadcast},
		{Name: "chat", Does: "lines to the world, to rooms and to one another, topics, history; everybody checks what is due to be heard", Play: chat, Think: time.Second, Features: pb.VerifyREQ_Lines},
		{Name: "grow", Does: "claim and upgrade until poor, and again; every change is checked, and the money of all", Play: grow, Think: 100 * time.Millisecond},
		{Name: "play", Does: "a mix of all that players do, with time to think", Play: play, Think: 2 * time.Second, Features: pb.VerifyREQ_Lines},
		{Name: "login", Does: "log in and go again, at login only: connect, LoginREQ, LoginACK, close", Visit: login},
		{Name: "storm", Does: "log in, enter the world, leave, and again", Visit: storm},
	}
}

// Find is the scenario of that name.
func Find(name string) (Scenario, error) {
	for _, s := range All() {
		if s.Name == name {
			return s, nil
		}
	}
	return Scenario{}, fmt.Errorf("there is no scenario %q; -scenario=help lists them", name)
}

// Help lists the scenarios.
func Help(w io.Writer) {
	for _, s := range All() {
		fmt.Fprintf(w, "%-10s %s\n", s.Name, s.Does)
	}
}
