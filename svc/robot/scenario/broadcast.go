package scenario

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/robot/player"
	"github.com/davyxu/cellmesh_demo/svc/robot/robotapi"
	"github.com/davyxu/cellmesh_demo/svc/robot/tally"
)

// linesKnown is for how many of the last lines it is known when they were said.
const linesKnown = 1 << 12

// lines is what the robots of one broadcast share. Lines are numbered from 1; one
// is "robots SEED #NUMBER " and filling.
type lines struct {
	prefix  string
	fill    *filling
	size    int
	said    atomic.Uint64            // number of the last line
	refused atomic.Uint64            // lines that the server did not take: which ones is not known
	due     [linesKnown]atomic.Int64 // when lines were due, by number
}

func newLines(run *player.Run) *lines {
	l := &lines{prefix: fmt.Sprintf("robots %d #", run.Seed), fill: newFilling(run.Seed, run.Size), size: run.Size}
	letters(l.fill.table)
	return l
}

func broadcast(r *player.Robot) {
	l := player.Shared(r, newLines)
	e := &listener{r: r, lines: l, delivered: r.Op("deliver")}
	r.Hear(pb.ChatACKID, e.hear)
	r.OnLoss(func() { e.owes, e.from = e.owes+e.owed(), closedEar })
	r.OnReturn(e.returned)
	r.AtEnd(e.owed, e.settle)
	if r.Index == 0 {
		r.Pace(func(due time.Duration) { l.say(r, due) })
		r.OnRefused(pb.ChatREQID, func(pb.ResultCode) {
			l.refused.Add(1)
			r.After(player.AfterRefusal, r.Again)
		})
	}
}

// listener is one robot's part in a broadcast.
type listener struct {
	r         *player.Robot
	lines     *lines
	delivered *tally.Op
	heard     uint64 // number of the last line heard
	from      uint64 // lines up to this one need not be heard: the robot was away
	skipped   uint64 // lines before it that did not come
	owes      int    // lines that were to come when the connection ended
}

func (e *listener) hear(body []byte) {
	number, ok := e.lines.check(e.r, body)
	switch {
	case !ok:
		return
	case number > e.lines.said.Load():
		e.r.Violation(robotapi.LineWrong, "lines that were said", fmt.Sprintf("#%d, which was not", number))
		return
	case number <= e.heard:
		e.r.Violation(robotapi.LineDoubled, fmt.Sprintf("the line after #%d", e.heard), fmt.Sprintf("#%d, again or out of order", number))
		return
	default:
		e.skip(number - 1)
	}
	e.heard = number
	e.r.Record(e.delivered, time.Duration(e.lines.due[number%linesKnown].Load()))
	if e.r.Index == 0 {
		e.r.Again()
	}
}

// returned listens anew, to what is said from now on. Of what the speaker said
// itself it does not know what has arrived.
func (e *listener) returned() {
	if e.r.Index == 0 {
		e.lines.refused.Add(uint64(e.owes))
	}
	e.owes, e.from, e.skipped = 0, e.lines.said.Load(), e.lines.refused.Load()
}

// skip notes lines that did not come, up to that number, and complains unless the
// server may have refused them.
func (e *listener) skip(to uint64) {
	from := max(e.heard, e.from) + 1
	if e.from == closedEar || to < from {
		return
	}
	e.skipped += to - from + 1
	if e.skipped > e.lines.refused.Load() {
		e.r.Violation(robotapi.LineMissing, fmt.Sprintf("lines #%d to #%d", from, to), "they did not come")
	}
}

func (e *listener) owed() int {
	if e.from == closedEar {
		return 0
	}
	refused := max(int(e.lines.refused.Load())-int(e.skipped), 0) // since the last line heard
	return max(int(e.lines.said.Load()-max(e.heard, e.from))-refused, 0)
}

func (e *listener) settle() {
	if e.owed() > 0 {
		e.skip(e.lines.said.Load())
	}
}

// say says the next line.
func (l *lines) say(r *player.Robot, due time.Duration) {
	number := l.said.Add(1)
	l.due[number%linesKnown].Store(int64(due))
	text := append(strconv.AppendUint([]byte(l.prefix), number, 10), ' ')
	text = append(text, l.fill.of(0, number, max(l.size-len(text), 0))...)
	r.Send(&pb.ChatREQ{Content: string(text)})
}

// check reads a line's number. Lines of others who chat meanwhile are passed
// over.
func (l *lines) check(r *player.Robot, body []byte) (number uint64, ok bool) {
	text, ok := bytesField(body, 1)
	if !ok {
		r.Violation(robotapi.LineWrong, "a ChatACK", fmt.Sprintf("garbled: % x", body))
		return 0, false
	}
	if len(text) < len(l.prefix) || string(text[:len(l.prefix)]) != l.prefix {
		return 0, false
	}
	rest := text[len(l.prefix):]
	end := 0
	for ; end < len(rest) && rest[end] >= '0' && rest[end] <= '9'; end++ {
		number = number*10 + uint64(rest[end]-'0')
	}
	if end == 0 || end == len(rest) || rest[end] != ' ' || !bytes.Equal(rest[end+1:], l.fill.of(0, number, max(l.size-len(text)+len(rest)-end-1, 0))) {
		r.Violation(robotapi.LineWrong, "a line as it was said", fmt.Sprintf("it differs: %q", text))
		return 0, false
	}
	return number, true
}

// random fills b with bytes that a seed repeats.
func random(seed uint64, b []byte) {
	var key [32]byte
	copy(key[:], protowire.AppendFixed64(nil, seed))
	rand.NewChaCha8(key).Read(b)
}

// letters turns bytes into letters.
func letters(b []byte) {
	for i := range b {
		b[i] = 'a' + b[i]%26
	}
}
