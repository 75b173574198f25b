package scenario

import (
	"fmt"
	"slices"
	"time"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/robot/robotapi"
)

const (
	// historyLines is how many lines a robot asks for.
	historyLines = 20
	// heardKept is how many lines of its room it remembers to have heard.
	heardKept = 16
	// historyLag is how long a line that was heard may not be in the history yet: it
	// is written behind.
	historyLag = 5 * time.Second
)

// heard is a line of the room that a robot has heard.
type heard struct {
	line
	id uint64
	at time.Duration
}

func (t *talker) remember(l line, id uint64) {
	if len(t.heard) == heardKept {
		t.heard = slices.Delete(t.heard, 0, 1)
	}
	t.heard = append(t.heard, heard{l, id, t.r.Now()})
}

// history asks what was said in the room.
func (t *talker) history(due time.Duration) {
	if !t.in {
		t.say(toPartner, due)
		return
	}
	t.calls.Ask(&pb.HistoryREQ{Room: roomOf(t.r.Index), Limit: historyLines}, roomOf(t.r.Index), due)
}

func (t *talker) remembered(m *pb.HistoryACK) {
	asked, done := t.reply(pb.HistoryREQID, t.ops.history, m)
	if done {
		t.checkHistory(m.Lines)
	}
	if asked {
		t.r.Again()
	}
}

// checkHistory holds what the history tells against what was heard: lines of this
// run are those that were said, in the order of their IDs, and what was heard is
// among them, under the same ID.
func (t *talker) checkHistory(lines []*pb.LineACK_Line) {
	complain := func(expected, seen string) { t.r.Violation(robotapi.History, expected, seen) }
	run, last := t.r.Run(), uint64(0)
	ids := map[line]uint64{}
	for _, got := range lines {
		if got.Id <= last {
			complain(fmt.Sprintf("lines in the order of their IDs, after %d", last), fmt.Sprintf("line %d of %s", got.Id, got.From))
		}
		last = got.Id
		l, ours := parseLine(run.ID, got.Text)
		if !ours || got.Kind != pb.LineACK_Said {
			continue
		}
		if got.From != run.UIDOf(l.sender) || got.Text != l.text(run.ID) || l.channel != toRoom || roomOf(l.sender) != roomOf(t.r.Index) {
			complain("lines as they were said in "+roomOf(t.r.Index), fmt.Sprintf("%q from %s", got.Text, got.From))
			continue
		}
		ids[l] = got.Id
	}
	for _, h := range t.heard {
		id, is := ids[h.line]
		missing := !is && t.r.Now()-h.at > historyLag && (len(lines) < historyLines || h.id > lines[0].Id)
		if missing && run.Chaos { // what was not written when a server died
			t.r.Error("not in the history", fmt.Sprintf("%v of %s", h.line, run.UIDOf(h.sender)))
		} else if missing || is && id != h.id {
			complain(fmt.Sprintf("%v of %s with ID %d, which was heard", h.line, run.UIDOf(h.sender), h.id), fmt.Sprintf("ID %d (0: it is not there)", id))
		}
	}
}
