package scenario

import (
	"fmt"
	"slices"
	"time"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/robot/player"
	"github.com/davyxu/cellmesh_demo/svc/robot/robotapi"
	"github.com/davyxu/cellmesh_demo/svc/robot/tally"
)

// Of so many requests of a player one is a look at the player, and one is the
// last change once more: it must be done once and answered as before.
const (
	lookEvery   = 12
	repeatEvery = 12
)

// grow upgrades until there is no money left, then claims until there is.
func grow(r *player.Robot) {
	a := newAccount(r)
	r.Pace(a.act)
}

// account is a robot's player in the game: what it was told, against what it is
// told next. account.go is how it is checked.
type account struct {
	r     *player.Robot
	calls *player.Calls
	bank  *bank
	ops   struct{ look, upgrade, claim, rename *tally.Op }

	known  bool     // is was told
	is     standing // after the last change that was acknowledged
	begun  bool     // begin was told
	begin  standing
	earned int64 // by acknowledged changes since
	paid   int64
	unsure int // requests refused of which it is not known which they were

	poor    bool       // the last upgrade was too expensive
	top     bool       // there is no next level
	asked   uint64     // requests so far
	open    []*request // changes that were asked for
	looks   []uint64   // numbers of the looks that were asked for
	last    *request   // the last change that was answered
	lastGot answer
	ending  bool // the last look was asked for
}

// standing is what a player has.
type standing struct{ level, money, revision int64 }

func (s standing) String() string {
	return fmt.Sprintf("level %d, %d gold, revision %d", s.level, s.money, s.revision)
}

// request is a change that is asked for until it is answered.
type request struct {
	id     string
	msg    pb.Message
	due    time.Duration
	number uint64  // among those of the account
	doubt  bool    // it may have been done already
	first  *answer // that it got before, if it comes again
}

// answer is the reply to a change.
type answer struct {
	code          pb.ResultCode
	is            standing // level is 0 if that is not told
	claimed, paid int64
	name          string
	isUpgrade     bool
}

func newAccount(r *player.Robot) *account {
	a := &account{r: r, calls: player.NewCalls(r), bank: player.Shared(r, newBank)}
	a.ops.look, a.ops.upgrade, a.ops.claim, a.ops.rename = r.Op("look"), r.Op("upgrade"), r.Op("claim"), r.Op("rename")
	player.Hear(r, a.looked)
	player.Hear(r, func(m *pb.UpgradeACK) {
		a.answered(pb.UpgradeREQID, m.RequestId, m.Reason, a.ops.upgrade, answer{code: m.Result, is: standing{m.Level, m.Money, m.Revision}, paid: m.Paid, isUpgrade: true})
	})
	player.Hear(r, func(m *pb.ClaimACK) {
		a.answered(pb.ClaimREQID, m.RequestId, m.Reason, a.ops.claim, answer{code: m.Result, is: standing{0, m.Money, m.Revision}, claimed: m.Claimed})
	})
	player.Hear(r, func(m *pb.RenameACK) {
		a.answered(pb.RenameREQID, m.RequestId, m.Reason, a.ops.rename, answer{code: m.Result, is: standing{0, 0, m.Revision}, name: m.Name})
	})
	for _, id := range []uint16{pb.UpgradeREQID, pb.ClaimREQID, pb.RenameREQID} {
		r.OnRefused(id, func(pb.ResultCode) { a.refused(id) })
	}
	r.OnRefused(pb.PlayerREQID, func(pb.ResultCode) {
		a.calls.Refused(pb.PlayerREQID)
		r.After(player.AfterRefusal, r.Again)
	})
	a.calls.Lost = a.lost
	r.OnLoss(a.doubt)
	r.OnReturn(a.returned)
	r.AtLast(func() { a.ending = true; a.look(r.Now()) })
	r.AtEnd(func() int { return 0 }, a.settle)
	return a
}

// act asks for the next thing.
func (a *account) act(due time.Duration) {
	switch {
	case !a.known || a.asked%lookEvery == 0:
		a.look(due)
	case a.last != nil && a.asked%repeatEvery == 1:
		first := a.lastGot
		a.ask(&request{id: a.last.id, msg: a.last.msg, due: due, first: &first})
	case a.poor || a.top:
		id := a.newID()
		a.ask(&request{id: id, msg: &pb.ClaimREQ{RequestId: id}, due: due})
	default:
		id := a.newID()
		a.ask(&request{id: id, msg: &pb.UpgradeREQ{RequestId: id}, due: due})
	}
}

// newID is a request ID that no other run has.
func (a *account) newID() string { return fmt.Sprintf("%s-%d", a.r.Run().ID, a.asked) }

func (a *account) look(due time.Duration) {
	a.asked++
	a.looks = append(a.looks, a.asked)
	a.calls.Ask(&pb.PlayerREQ{}, "", due)
}

func (a *account) rename(due time.Duration) {
	id := a.newID()
	a.ask(&request{id: id, msg: &pb.RenameREQ{RequestId: id, Name: names[a.r.Rand().IntN(len(names))]}, due: due})
}

func (a *account) ask(q *request) {
	a.asked++
	q.number = a.asked
	a.open = append(a.open, q)
	a.calls.Ask(q.msg, q.id, q.due)
}

// overtaken notes that a reply came before those to requests that were made
// before: they may be lost.
func (a *account) overtaken(number uint64) {
	for _, q := range a.open {
		q.doubt = q.doubt || q.number < number
	}
}

// refused asks again for what the server did not take: it may have done it
// nevertheless.
func (a *account) refused(id uint16) {
	a.calls.Refused(id)
	var mine []*request
	for _, q := range a.open {
		if q.msg.MsgID() == id {
			mine = append(mine, q)
		}
	}
	if len(mine) != 1 {
		if len(mine) > 1 {
			a.unsure++
			for _, q := range mine {
				a.r.Run().InDoubt(a.r.UID, q.id)
			}
		}
		a.r.After(player.AfterRefusal, a.r.Again)
		return
	}
	q := mine[0]
	q.doubt = true
	a.r.After(player.AfterRefusal, func() { a.calls.Ask(q.msg, q.id, q.due) })
}

// lost asks again for what was not answered.
func (a *account) lost(id uint16, key string) {
	if id == pb.PlayerREQID {
		a.looks = a.looks[1:]
		a.r.Again()
		return
	}
	if i := slices.IndexFunc(a.open, func(q *request) bool { return q.id == key && q.msg.MsgID() == id }); i >= 0 {
		q := a.open[i]
		q.doubt = true
		a.calls.Ask(q.msg, q.id, q.due)
	}
}

// doubt notes that what was asked for may be done or not.
func (a *account) doubt() {
	for _, q := range a.open {
		q.doubt = true
		a.r.Run().InDoubt(a.r.UID, q.id)
	}
}

// returned asks again for all of it: what was done already is not done again.
func (a *account) returned() {
	a.looks, a.unsure = nil, 0
	for _, q := range a.open {
		a.r.Hold()
		a.calls.Ask(q.msg, q.id, q.due)
	}
	if a.ending {
		a.look(a.r.Now())
	}
}

// answered hears the reply to a change.
func (a *account) answered(id uint16, key, reason string, op *tally.Op, got answer) {
	due, ok := a.calls.Answered(id, key)
	if !ok {
		return
	}
	q := a.take(id, key)
	if q == nil { // asked again, and given up meanwhile
		a.r.Again()
		return
	}
	a.overtaken(q.number)
	switch got.code {
	case pb.ResultCode_ServerBusy, pb.ResultCode_PlayedElsewhere: // the same request again
		a.r.Error(fmt.Sprintf("%s: %v", pb.MessageName(id), got.code), reason)
		q.doubt = true
		a.open = append(a.open, q)
		a.r.After(player.AfterRefusal, func() { a.calls.Ask(q.msg, q.id, q.due) })
		return
	case pb.ResultCode_NoError:
		a.r.Record(op, due)
		if q.first != nil {
			a.repeated(q, got)
		} else {
			a.done(q, got)
		}
	case pb.ResultCode_NotEnoughMoney, pb.ResultCode_HighestLevel, pb.ResultCode_NothingToClaim, pb.ResultCode_NameRefused: // the rules of the game
		a.r.Record(op, due)
		if q.first != nil {
			a.repeated(q, got)
		}
	default:
		a.r.Error(fmt.Sprintf("%s: %v", pb.MessageName(id), got.code), reason)
	}
	switch got.code {
	case pb.ResultCode_NotEnoughMoney:
		a.poor = true
	case pb.ResultCode_HighestLevel:
		a.top = true
	case pb.ResultCode_NoError:
		if got.claimed > 0 {
			a.poor = false
		}
	}
	if q.first == nil {
		a.last, a.lastGot = q, got
	}
	a.r.Again()
}

// take takes the request that was answered off the list, nil if it is not
// there. Of two with the same ID the first.
func (a *account) take(id uint16, key string) *request {
	for i, q := range a.open {
		if q.id == key && q.msg.MsgID() == id {
			a.open = append(a.open[:i], a.open[i+1:]...)
			return q
		}
	}
	return nil
}

// looked hears what the player has.
func (a *account) looked(m *pb.PlayerACK) {
	due, ok := a.calls.Answered(pb.PlayerREQID, "")
	if !ok {
		return
	}
	if len(a.looks) > 0 {
		a.overtaken(a.looks[0])
		a.looks = a.looks[1:]
	}
	if m.Result != pb.ResultCode_NoError {
		a.r.Error(fmt.Sprintf("PlayerREQ: %v", m.Result), m.Reason)
		a.r.After(player.AfterRefusal, a.r.Again)
		return
	}
	a.r.Record(a.ops.look, due)
	got := standing{m.Level, m.Money, m.Revision}
	switch {
	case m.Uid != a.r.UID:
		a.r.Violation(robotapi.ReplyWrong, "player "+a.r.UID, "player "+m.Uid)
	case !a.known:
		if a.known, a.is = true, got; !a.begun {
			a.begun, a.begin = true, got
		}
	default:
		a.compare("the last change", a.is, got, int64(a.doubts()))
		a.is = got
	}
	a.r.Again()
}
