package choice

import (
	"math"
	"sync"
	"time"

	"github.com/davyxu/cellmesh_demo/svc/hub/hubapi"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

const (
	// fresh is how old a status may be to be believed entirely.
	fresh = 5 * time.Second
	// unknown is when nothing of it is believed any more; it is forgotten then.
	unknown = time.Minute
	// arrival is how long it takes, at most, until we are told of a client that we
	// have sent; usual is how long most take to where they were sent. It is long, as
	// on a machine that is busy both take seconds: those forgotten early make the
	// slowest look empty, while those who never come are as many everywhere.
	arrival = 10 * time.Second
	usual   = 300 * time.Millisecond
	// resuming is how long all candidates count after none was fresh, or one has
	// begun to tell: the first to tell again shall not get everybody.
	resuming = 5 * time.Second
	// halfLife is in what time half of those we sent are taken to have left,
	// while nobody tells us.
	halfLife = 30 * time.Second
)

// Chooser chooses among the instances of services. Any goroutine may use it.
type Chooser struct {
	registry discovery.Registry
	allowed  func(*discovery.Service) bool
	status   func(svcid string) (hubapi.Status, bool)
	strategy Strategy

	mu    sync.Mutex
	sent  map[string]*sent     // by svcid
	blind map[string]time.Time // by name: when resuming began
	from  []Candidate          // scratch
}

// New makes a chooser: of what registry has, those allowed, by what status says
// (hubapi.Hub.Status) and strategy.
func New(registry discovery.Registry, allowed func(*discovery.Service) bool, status func(string) (hubapi.Status, bool), strategy Strategy) *Chooser {
	return &Chooser{registry: registry, allowed: allowed, status: status, strategy: strategy, sent: map[string]*sent{}, blind: map[string]time.Time{}}
}

// Choose chooses an instance of the named service that is ready and usable, and
// counts a client more for it; nil if there is none. Those that want no players
// are left out, and those that have said nothing lately while others have: they
// may hang. When nobody says anything, hub is away: what was said last counts
// less and less, and what we have done ourselves instead.
func (c *Chooser) Choose(name string, r Request, usable func(*discovery.Service) bool) *discovery.Service {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	snap := c.registry.Snapshot()
	c.from = c.from[:0]
	certain := 0
	for svc := range snap.Services(name) {
		if svc.State != discovery.Ready || !c.mayGo(svc, r) || !usable(svc) {
			continue
		}
		said, doubt, draining := c.says(svc, now)
		if draining {
			continue
		}
		if doubt == 0 {
			certain++
		}
		c.from = append(c.from, Candidate{svc, said, doubt})
	}
	if certain == 0 {
		c.blind[name] = now
	}
	if now.Sub(c.blind[name]) >= resuming {
		c.from = certainOf(c.from)
	}
	if len(c.from) == 0 {
		return nil
	}
	c.estimate(now)
	svc := c.from[c.strategy.Pick(r, c.from)].Service
	c.sent[svc.ID].add(now, c.logins(snap))
	clear(c.from)
	return svc
}

// estimate completes how many players the candidates have. One in doubt is taken
// to have had as many as the others before we sent it more or less than them.
func (c *Chooser) estimate(now time.Time) {
	known, before := 0.0, 0.0
	for i := range c.from {
		f := &c.from[i]
		a := c.sent[f.ID]
		f.Players += a.missing * a.stay(now)
		known, before = known+1-f.Doubt, before+(f.Players-a.ever*a.stay(now))*(1-f.Doubt)
	}
	before /= max(known, 1e-9)
	for i := range c.from {
		f := &c.from[i]
		a := c.sent[f.ID]
		f.Players = f.Players*(1-f.Doubt) + (before+a.ever*a.stay(now))*f.Doubt
	}
}

// logins is how many logins there are, this one too: each is taken to send as
// many clients as we do, which nobody tells us of before they have arrived.
func (c *Chooser) logins(snap *discovery.Snapshot) float64 {
	n := 0.0
	for svc := range snap.Services("login") {
		if svc.State == discovery.Ready && c.allowed(svc) {
			n++
		}
	}
	return max(n, 1)
}

func (c *Chooser) mayGo(svc *discovery.Service, r Request) bool {
	if r.Group != "" {
		return svc.Group == r.Group
	}
	return c.allowed(svc)
}

// says is what svc last said about itself. The caller holds mu.
func (c *Chooser) says(svc *discovery.Service, now time.Time) (players, doubt float64, draining bool) {
	a := c.sent[svc.ID]
	if a == nil || a.epoch != svc.Epoch { // a new process
		a = &sent{epoch: svc.Epoch, at: now}
		c.sent[svc.ID] = a
	}
	s, ok := c.status(svc.ID)
	if !ok || s.Epoch != svc.Epoch { // of another epoch: of the process before this one
		return 0, 1, false
	}
	if s.At.Sub(a.told) >= fresh {
		c.blind[svc.Name] = now
	}
	if s.At.After(a.told) { // it has counted those that have arrived meanwhile
		a.settle(s.At, float64(s.Players), now)
	}
	doubt = min(max(float64(now.Sub(s.At)-fresh)/float64(unknown-fresh), 0), 1)
	return float64(s.Players), doubt, s.Draining
}

// certainOf are those without doubt.
func certainOf(from []Candidate) []Candidate {
	kept := from[:0]
	for _, f := range from {
		if f.Doubt == 0 {
			kept = append(kept, f)
		}
	}
	clear(from[len(kept):])
	return kept
}

// tick is how finely it is remembered when clients were sent.
const (
	tick  = 100 * time.Millisecond
	ticks = int64(arrival/tick) + 1
)

// sent counts the clients that were sent to one process, by all logins.
type sent struct {
	epoch   uint64         // of the process
	told    time.Time      // when it last said something
	players float64        // what it said then
	missing float64        // sent and not in what it said
	ever    float64        // sent
	at      time.Time      // missing and ever are of that time
	ring    [ticks]perTick // those of the last ticks
}

type perTick struct {
	tick int64
	n    float64
}

// add counts n more.
func (s *sent) add(now time.Time, n float64) {
	s.age(now)
	s.missing += n
	s.ever += n
	t := now.UnixNano() / int64(tick)
	r := &s.ring[t%ticks]
	if r.tick != t {
		*r = perTick{tick: t}
	}
	r.n += n
}

// stay is which part of those counted has not left again.
func (s *sent) stay(now time.Time) float64 {
	return math.Exp2(-float64(now.Sub(s.at)) / float64(halfLife))
}

// age takes off those who have left.
func (s *sent) age(now time.Time) {
	stay := s.stay(now)
	s.missing, s.ever, s.at = s.missing*stay, s.ever*stay, now
}

// settle takes off those that a status of the time told has in it: as many as
// have come since the one before, and all that were sent too long ago. Before the
// first there was none.
func (s *sent) settle(told time.Time, players float64, now time.Time) {
	s.age(now)
	if s.told.IsZero() || told.Sub(s.told) < fresh {
		s.missing = min(max(s.missing-max(players-s.players, 0), 0), s.since(told.Add(-arrival)))
	} else {
		s.missing = s.since(told.Add(-usual))
	}
	s.told, s.players = told, players
}

// since is how many were sent since then, within the last ticks.
func (s *sent) since(then time.Time) (n float64) {
	for _, r := range s.ring {
		if r.tick > then.UnixNano()/int64(tick) {
			n += r.n
		}
	}
	return n
}
