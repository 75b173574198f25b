package scenario

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/robot/player"
	"github.com/davyxu/cellmesh_demo/svc/robot/robotapi"
)

// join enters the robot's room, again if it has left.
func (t *talker) join() {
	if t.joins || t.in {
		return
	}
	t.joins, t.out = true, false
	_, t.due = t.talks.topic(t.r.Index).numbers()
	t.calls.Ask(&pb.JoinREQ{Room: roomOf(t.r.Index)}, roomOf(t.r.Index), t.r.Now())
}

func (t *talker) joined(m *pb.JoinACK) {
	asked, done := t.reply(pb.JoinREQID, t.ops.join, m)
	if !asked {
		return
	}
	t.joins = false
	if !done {
		t.r.After(time.Second, t.join)
		return
	}
	t.in = true
	for i := range t.ears {
		if e := &t.ears[i]; e.channel == toRoom && e.from == closedEar {
			e.from, _ = e.stream.numbers()
		}
	}
	t.talks.topic(t.r.Index).check(t.r, m.Topic, t.due)
	if t.back {
		t.back = false
		t.r.Again()
	}
}

// leave leaves the room, and joins again a little later, which ends the request.
// Until then nothing of it is to be heard.
func (t *talker) leave(due time.Duration) {
	if !t.in {
		t.say(toPartner, due)
		return
	}
	t.in = false // nothing more is said there
	t.calls.Ask(&pb.LeaveREQ{Room: roomOf(t.r.Index)}, roomOf(t.r.Index), due)
}

func (t *talker) left(m *pb.LeaveACK) {
	asked, done := t.reply(pb.LeaveREQID, t.ops.leave, m)
	if !asked {
		return
	}
	t.back = true
	t.r.After(t.r.Run().Think, t.join)
	if done {
		t.out, t.heard = true, nil
		t.closeRoom()
	}
}

// closeRoom ends listening to the room, until it is joined.
func (t *talker) closeRoom() {
	for i := range t.ears {
		if t.ears[i].channel == toRoom {
			t.ears[i].close(t.r)
		}
	}
}

// topic is what robots make a room's topic: they are numbered. One robot sets
// them, all of its room see them when they join.
type topic struct {
	mu    sync.Mutex
	asked uint64 // number of the last that was asked for
	sure  uint64 // of the last that was acknowledged
}

// setsTopics reports whether the robot sets those of its room.
func (t *talker) setsTopics() bool { return t.r.Index%roomSize == 0 }

func (t *talker) topic(due time.Duration) {
	if !t.in {
		t.say(toPartner, due)
		return
	}
	p := t.talks.topic(t.r.Index)
	p.mu.Lock()
	p.asked++
	number := p.asked
	p.mu.Unlock()
	t.calls.Ask(&pb.TopicREQ{Room: roomOf(t.r.Index), Topic: topicText(t.r.Run(), number)}, roomOf(t.r.Index), due)
}

func (t *talker) topicSet(m *pb.TopicACK) {
	asked, done := t.reply(pb.TopicREQID, t.ops.topic, m)
	if !asked {
		return
	}
	if done {
		p := t.talks.topic(t.r.Index)
		p.check(t.r, m.Topic, p.sure+1)
		if number, ok := parseTopic(t.r.Run(), m.Topic); ok {
			p.mu.Lock()
			p.sure = max(p.sure, number)
			p.mu.Unlock()
		}
	}
	t.r.Again()
}

// topicText is a topic, with a mark like that of lines.
func topicText(run *player.Run, number uint64) string {
	return fmt.Sprintf("the long way home #%s-t%d", run.ID[:markRun], number)
}

func parseTopic(run *player.Run, text string) (number uint64, ok bool) {
	_, mark, ok := strings.Cut(text, "#"+run.ID[:markRun]+"-t")
	number, err := strconv.ParseUint(mark, 10, 64)
	return number, ok && err == nil
}

func (p *topic) numbers() (asked, sure uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked, p.sure
}

// check complains unless a topic that is shown is that of a number, or a later
// one. One that somebody else has set says nothing.
func (p *topic) check(r *player.Robot, shown string, due uint64) {
	asked, _ := p.numbers()
	number, ours := parseTopic(r.Run(), shown)
	switch {
	case shown == "" && due > 0, ours && number < due:
		r.Violation(robotapi.ChangeLost, "the topic "+topicText(r.Run(), due)+", or a later one", strconv.Quote(shown))
	case ours && number > asked:
		r.Violation(robotapi.ReplyWrong, fmt.Sprintf("one of %d topics that were set", asked), strconv.Quote(shown))
	}
}
