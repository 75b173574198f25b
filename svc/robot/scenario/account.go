package scenario

import (
	"fmt"
	"sync"

	"github.com/davyxu/cellmesh_demo/svc/robot/player"
	"github.com/davyxu/cellmesh_demo/svc/robot/robotapi"
)

// doubts is how many requests may have been done without the robot knowing.
func (a *account) doubts() int {
	n := a.unsure
	for _, q := range a.open {
		if q.doubt {
			n++
		}
	}
	return n
}

// done checks an acknowledged change against the one before: revisions follow
// one another, and the money is what it was, less what was paid, more what was
// claimed.
func (a *account) done(q *request, got answer) {
	a.r.Run().Acknowledged(a.r.UID, player.Change{RequestID: q.id, Revision: got.is.revision, Level: got.is.level, Money: got.is.money})
	a.earned += got.claimed
	a.paid += got.paid
	due := standing{level: a.is.level, money: a.is.money + got.claimed - got.paid, revision: a.is.revision + 1}
	if got.isUpgrade {
		due.level++
	}
	if got.is.level == 0 {
		got.is.level = due.level
	}
	if got.name != "" {
		got.is.money = due.money
	}
	switch {
	case !a.known:
	case q.doubt && got.is.revision <= a.is.revision: // it was done before others, or before the last look
		return
	default:
		a.compare(fmt.Sprintf("change %s of %v", q.id, a.is), due, got.is, int64(a.doubts()))
	}
	a.is = got.is
}

// repeated checks that a request which was done already is answered as before,
// and not done again.
func (a *account) repeated(q *request, got answer) {
	if got != *q.first {
		a.r.Violation(robotapi.ChangeDoubled,
			fmt.Sprintf("the first answer to %s once more: %v, %v", q.id, q.first.code, q.first.is), fmt.Sprintf("%v, %v", got.code, got.is))
		if got.is.revision > a.is.revision {
			a.known = false // look again
		}
	}
}

// compare complains unless a player has what it should have after something, and
// maybe so many changes more.
func (a *account) compare(after string, due, got standing, maybe int64) {
	kind := ""
	switch {
	case got == due:
		return
	case got.revision < due.revision, got.revision == due.revision && got.level < due.level:
		kind = robotapi.ChangeLost
	case got.revision > due.revision+maybe, got.level > due.level+maybe:
		kind = robotapi.ChangeDoubled
	case got.revision > due.revision: // then the money is not known either
		return
	default:
		kind = robotapi.Money
	}
	a.r.Violation(kind, fmt.Sprintf("after %s: %v", after, due), got.String())
}

// settle puts what the robot was told into the bank's books.
func (a *account) settle() {
	for _, q := range a.open {
		a.r.Run().InDoubt(a.r.UID, q.id)
	}
	if a.known && a.doubts()+len(a.open) == 0 {
		a.bank.add(a)
	}
}

// bank keeps the books of all robots.
type bank struct {
	run *player.Run

	mu                       sync.Mutex
	players                  int
	begin, end, earned, paid int64
}

func newBank(run *player.Run) *bank {
	b := &bank{run: run}
	run.AtEnd(b.settle)
	return b
}

func (b *bank) add(a *account) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.players++
	b.begin += a.begin.money
	b.end += a.is.money
	b.earned += a.earned
	b.paid += a.paid
}

// settle complains unless there is as much money as there should be.
func (b *bank) settle() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if due := b.begin + b.earned - b.paid; due != b.end {
		b.run.Violation(robotapi.Money,
			fmt.Sprintf("%d players have %d gold: %d at first, %d claimed, %d paid", b.players, due, b.begin, b.earned, b.paid), fmt.Sprintf("they have %d", b.end))
	}
}
