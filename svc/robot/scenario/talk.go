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

// chat talks all the time: to its room mostly, to its partner often, to
// everybody sometimes.
func chat(r *player.Robot) {
	t := newTalker(r)
	r.Pace(func(due time.Duration) {
		switch dice := r.Rand().IntN(40); {
		case dice == 0:
			t.history(due)
		case dice == 1:
			t.leave(due)
		case dice == 2 && t.setsTopics():
			t.topic(due)
		case dice < 6 && t.canSay(toWorld):
			t.say(toWorld, due)
		case dice < 16 && t.canSay(toPartner):
			t.say(toPartner, due)
		default:
			t.say(toRoom, due)
		}
	})
}

// talker is a robot's part in chat. A robot is in a room with its neighbours and
// has a partner; it hears those, and the few who talk to everybody.
type talker struct {
	r      *player.Robot
	calls  *player.Calls
	talks  *talks
	ears   []ear
	in     bool    // the room
	out    bool    // it has left the room
	joins  bool    // the room, and was not answered yet
	back   bool    // joining ends what leaving has begun
	due    uint64  // number of a topic that joining must show, or a later one
	heard  []heard // lines of the room, the last of them
	asked  uint64
	saying []saying // not answered
	ops    struct{ join, leave, topic, history, say, hear, who *tally.Op }
}

// saying is a line that the server has not answered yet.
type saying struct {
	id string
	line
}

func newTalker(r *player.Robot) *talker {
	t := &talker{r: r, talks: player.Shared(r, newTalks)}
	t.ops.join, t.ops.leave, t.ops.topic, t.ops.history = r.Op("join"), r.Op("leave"), r.Op("topic"), r.Op("history")
	t.ops.say, t.ops.hear, t.ops.who = r.Op("say"), r.Op("hear"), r.Op("who")
	t.listen()
	t.calls = player.NewCalls(r)
	t.calls.Lost = t.lost
	player.Hear(r, t.joined)
	player.Hear(r, t.left)
	player.Hear(r, t.topicSet)
	player.Hear(r, t.remembered)
	player.Hear(r, t.said)
	player.Hear(r, t.told)
	player.Hear(r, t.lines)
	r.OnBegin(t.join)
	r.OnLoss(func() {
		for i := range t.ears {
			t.ears[i].close(r)
		}
	})
	r.OnReturn(t.returned)
	r.OnRefused(pb.JoinREQID, func(pb.ResultCode) {
		t.calls.Refused(pb.JoinREQID)
		t.joins = false
		r.After(player.AfterRefusal, t.join)
	})
	for _, id := range []uint16{pb.WhoREQID, pb.LeaveREQID, pb.TopicREQID, pb.HistoryREQID} {
		r.OnRefused(id, func(pb.ResultCode) {
			t.calls.Refused(id)
			t.in = t.in || id == pb.LeaveREQID
			r.After(player.AfterRefusal, r.Again)
		})
	}
	r.OnRefused(pb.SayREQID, t.refused)
	r.AtEnd(t.owed, t.settle)
	return t
}

// listen makes the ears: for whom the robot has to hear.
func (t *talker) listen() {
	hear := func(sender int, c channel, from uint64) {
		t.ears = append(t.ears, ear{sender: sender, channel: c, stream: &t.talks.streams[sender][c], from: from})
	}
	n := len(t.talks.streams)
	for i := range min(maxSpeakers, n) {
		hear(i, toWorld, 0)
	}
	first := t.r.Index / roomSize * roomSize
	for i := first; i < min(first+roomSize, n); i++ {
		hear(i, toRoom, closedEar)
	}
	if n > 1 {
		hear((t.r.Index+n-1)%n, toPartner, 0)
		t.ears[len(t.ears)-1].receives = true
		hear(t.r.Index, toPartner, 0)
	}
}

// lost gives up what was not answered.
func (t *talker) lost(id uint16, key string) {
	switch id {
	case pb.JoinREQID:
		t.joins = false
		t.join()
		return
	case pb.SayREQID:
		if i := slices.IndexFunc(t.saying, func(s saying) bool { return s.id == key }); i >= 0 {
			t.decide(t.saying[i], perhaps)
			t.saying = slices.Delete(t.saying, i, i+1)
		}
	case pb.LeaveREQID: // it may have left
		t.closeRoom()
		t.join()
	}
	t.r.Again()
}

// returned listens anew, to what is said from now on.
func (t *talker) returned() {
	for _, s := range t.saying {
		t.decide(s, perhaps)
	}
	t.saying, t.in, t.out, t.joins, t.back, t.heard = nil, false, false, false, false, nil
	for i := range t.ears {
		t.ears[i].again()
	}
	t.join()
}

// canSay reports whether the robot talks in that channel.
func (t *talker) canSay(c channel) bool {
	switch c {
	case toWorld:
		return t.r.Index < maxSpeakers
	case toPartner:
		return len(t.talks.streams) > 1
	}
	return t.in
}

// say says a line; if the robot is not in its room yet, in private instead.
func (t *talker) say(c channel, due time.Duration) {
	if !t.canSay(c) {
		c = toPartner
	}
	if !t.canSay(c) {
		t.r.After(player.AfterRefusal, t.r.Again)
		return
	}
	t.asked++
	s := saying{id: fmt.Sprint(t.asked), line: line{sender: t.r.Index, channel: c, number: t.talks.streams[t.r.Index][c].say(due)}}
	t.saying = append(t.saying, s)
	req := &pb.SayREQ{RequestId: s.id, Text: s.text(t.r.Run().ID)}
	switch c {
	case toRoom:
		req.Room = roomOf(t.r.Index)
	case toPartner:
		req.To = t.r.Run().UIDOf(t.talks.partnerOf(t.r.Index))
	}
	t.calls.Ask(req, s.id, due)
}

func (t *talker) said(m *pb.SayACK) {
	due, ok := t.calls.Answered(pb.SayREQID, m.RequestId)
	if !ok {
		return
	}
	if i := slices.IndexFunc(t.saying, func(s saying) bool { return s.id == m.RequestId }); i >= 0 {
		s := t.saying[i]
		t.saying = slices.Delete(t.saying, i, i+1)
		switch {
		case m.Result != pb.ResultCode_NoError:
			t.decide(s, refused)
			t.r.Error(fmt.Sprintf("SayREQ: %v", m.Result), m.Reason)
		case m.Stored:
			t.decide(s, stored)
		default:
			t.decide(s, taken)
		}
	}
	t.r.Record(t.ops.say, due)
	t.r.Again()
}

// decide notes what became of a line.
func (t *talker) decide(s saying, f fate) {
	if heard := t.talks.streams[s.sender][s.channel].decide(s.number, f); heard && f == refused {
		t.r.Violation(robotapi.LineWrong, fmt.Sprintf("nobody to hear %v, which was refused", s.line), "somebody has")
	}
}

// refused hears that the server did not take a line.
func (t *talker) refused(pb.ResultCode) {
	t.calls.Refused(pb.SayREQID)
	switch len(t.saying) {
	case 0:
	case 1:
		t.decide(t.saying[0], refused)
		t.saying = t.saying[:0]
	default:
		for _, s := range t.saying {
			t.decide(s, perhaps)
		}
	}
	t.r.After(player.AfterRefusal, t.r.Again)
}

// lines hears what is said.
func (t *talker) lines(m *pb.LineACK) {
	for _, got := range m.Lines {
		if l, ours := parseLine(t.r.Run().ID, got.Text); ours && got.Kind == pb.LineACK_Said {
			t.hear(l, got)
		}
	}
}

func (t *talker) hear(l line, got *pb.LineACK_Line) {
	run := t.r.Run()
	i := slices.IndexFunc(t.ears, func(e ear) bool { return e.sender == l.sender && e.channel == l.channel })
	if i < 0 {
		t.r.Violation(robotapi.LineWrong, "lines for "+t.r.UID, fmt.Sprintf("%v of %s: %q", l, run.UIDOf(l.sender), got.Text))
		return
	}
	due := pb.LineACK_Line{From: run.UIDOf(l.sender), Text: l.text(run.ID)}
	switch l.channel {
	case toRoom:
		due.Room = roomOf(l.sender)
	case toPartner:
		due.To = run.UIDOf(t.talks.partnerOf(l.sender))
	}
	if got.From != due.From || got.Room != due.Room || got.To != due.To || got.Text != due.Text {
		t.r.Violation(robotapi.LineWrong, fmt.Sprintf("%q from %q in room %q to %q", due.Text, due.From, due.Room, due.To), fmt.Sprintf("%q from %q in room %q to %q", got.Text, got.From, got.Room, got.To))
		return
	}
	if l.channel == toRoom {
		if t.out {
			t.r.Violation(robotapi.LineWrong, "no lines of a room that "+t.r.UID+" has left", fmt.Sprintf("%v of %s", l, got.From))
			return
		}
		t.remember(l, got.Id)
	}
	t.ears[i].hear(t.r, t.ops.hear, l, got)
}

// who asks who is in the room.
func (t *talker) who(due time.Duration) {
	room := ""
	if t.in {
		room = roomOf(t.r.Index)
	}
	t.calls.Ask(&pb.WhoREQ{Room: room}, room, due)
}

func (t *talker) told(m *pb.WhoACK) {
	asked, done := t.reply(pb.WhoREQID, t.ops.who, m)
	if done && (int(m.Total) < len(m.Players) || len(m.Players) == 0) {
		t.r.Violation(robotapi.ReplyWrong, "somebody to be there, "+t.r.UID+" at least", fmt.Sprintf("%d in all, %d told", m.Total, len(m.Players)))
	}
	if asked {
		t.r.Again()
	}
}

// reply takes the reply to a request about a room. asked is false if there was no
// such request, done if it was refused, which is counted.
func (t *talker) reply(id uint16, op *tally.Op, m interface {
	GetRoom() string
	GetResult() pb.ResultCode
	GetReason() string
}) (asked, done bool) {
	due, asked := t.calls.Answered(id, m.GetRoom())
	switch {
	case !asked:
		return false, false
	case m.GetResult() != pb.ResultCode_NoError:
		t.r.Error(fmt.Sprintf("%s: %v", pb.MessageName(id), m.GetResult()), m.GetReason())
		return true, false
	}
	t.r.Record(op, due)
	return true, true
}

// owed is how many lines are still to come; replies are owed to Calls.
func (t *talker) owed() (n int) {
	for i := range t.ears {
		n += t.ears[i].owed()
	}
	return n
}

func (t *talker) settle() {
	for i := range t.ears {
		t.ears[i].settle(t.r)
	}
}
