package desk

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/hub/hubapi"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// fresh is how old a status may be to be believed.
const fresh = 5 * time.Second

// chooser finds the agent and the game with the fewest players, as they say
// themselves through hub, plus those it has sent there since they said so. One
// that has said nothing lately may hang, so it is chosen only if that is true
// of all; then only the chooser's own assignments count.
type chooser struct {
	registry discovery.Registry
	allowed  func(*discovery.Service) bool
	status   func(svcid string) (hubapi.Status, bool)

	mu   sync.Mutex
	sent map[string]*assigned // by svcid
}

// assigned counts what a service was sent after the status of that time.
type assigned struct {
	since time.Time
	count int
}

func newChooser(reg discovery.Registry, allowed func(*discovery.Service) bool, status func(string) (hubapi.Status, bool)) *chooser {
	return &chooser{registry: reg, allowed: allowed, status: status, sent: map[string]*assigned{}}
}

// agent chooses an agent and tells its address for clients.
func (c *chooser) agent() (svcid, wan string, code pb.ResultCode) {
	svc := c.least("agent", func(s *discovery.Service) bool { return s.Meta[discovery.MetaWAN] != "" })
	if svc == nil {
		return "", "", pb.ResultCode_AgentNotFound
	}
	return svc.ID, svc.Meta[discovery.MetaWAN], pb.ResultCode_NoError
}

// game chooses a game.
func (c *chooser) game() (svcid string, code pb.ResultCode) {
	svc := c.least("game", func(*discovery.Service) bool { return true })
	if svc == nil {
		return "", pb.ResultCode_GameNotFound
	}
	return svc.ID, pb.ResultCode_NoError
}

// least is the ready instance of name with the fewest players, one of them at
// random if several have as few; nil if there is none.
func (c *chooser) least(name string, usable func(*discovery.Service) bool) *discovery.Service {
	c.mu.Lock()
	defer c.mu.Unlock()
	var best *discovery.Service
	var known bool // best has said how it is doing
	fewest, same := 0, 0
	for svc := range c.registry.Snapshot().Services(name) {
		if svc.State != discovery.Ready || !c.allowed(svc) || !usable(svc) {
			continue
		}
		n, told, draining := c.players(svc)
		switch {
		case draining || known && !told:
		case best == nil || told && !known || n < fewest:
			best, known, fewest, same = svc, told, n, 1
		case n == fewest:
			if same++; rand.IntN(same) == 0 {
				best = svc
			}
		}
	}
	if best != nil {
		c.sent[best.ID].count++
	}
	return best
}

// players is how many svc has, as far as is known: told is false if it has not
// said so lately. The caller holds mu.
func (c *chooser) players(svc *discovery.Service) (n int, told, draining bool) {
	a := c.sent[svc.ID]
	if a == nil {
		a = &assigned{}
		c.sent[svc.ID] = a
	}
	s, ok := c.status(svc.ID)
	if !ok || s.Age() > fresh || s.Epoch != svc.Epoch { // of another epoch: of the process before this one
		return a.count, false, false
	}
	if s.At.After(a.since) { // it has counted those that have arrived meanwhile
		*a = assigned{since: s.At}
	}
	return int(s.Players) + a.count, true, s.Draining
}
