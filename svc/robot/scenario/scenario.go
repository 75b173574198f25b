// Package scenario is what robots can be told to do. A scenario is a small
// function (see package player for what it can use) and a line in All.
//
// echo.go is the simplest: open it first.
package scenario

import (
	"fmt"
	"io"

	"github.com/davyxu/cellmesh_demo/svc/robot/player"
)

// Scenario is one way to play.
type Scenario struct {
	Name string
	Does string // in a line
	// New is called once per run; what it returns is called once per robot. Nil:
	// the robots do not play, they log in again and again.
	New func(*player.Options) func(*player.Robot)
}

// All are all scenarios. A new one gets its line here.
func All() []Scenario {
	return []Scenario{
		{"echo", "EchoREQ to the game and back; every reply is checked", echo},
		{"broadcast", "the first robot says lines of world chat, all robots check that they hear each", broadcast},
		{"login", "log in and go again, at login only: connect, LoginREQ, LoginACK, close", nil},
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
