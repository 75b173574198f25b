package scenario

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/davyxu/cellmesh_demo/svc/robot/player"
)

// Whom a line is for.
type channel byte

const (
	toWorld channel = iota
	toRoom
	toPartner
	channels int = iota
)

// letters of the channels, in lines.
const channelLetters = "wrp"

func (c channel) String() string {
	switch c {
	case toWorld:
		return "to everybody"
	case toRoom:
		return "to a room"
	}
	return "in private"
}

const (
	// roomSize is how many robots share a room.
	roomSize = 10
	// maxSpeakers is how many robots, at most, talk to everybody: each hears all of
	// them.
	maxSpeakers = 8
	// lastKnown is for how many of the last lines of a stream it is known when they
	// were due and whether they were heard.
	lastKnown = 16
)

// line is what robots say: a phrase, and a mark from which it can be told who
// said it to whom as which of its lines.
type line struct {
	sender  int
	channel channel
	number  uint64 // of this sender in this channel, from 1
}

// markRun is how much of Run.ID a mark has.
const markRun = 5

// text is the line as it is said, with a mark that people can pass over:
// "well played #3fx7q-12r7". run is Run.ID.
func (l line) text(run string) string {
	phrase := phrases[(uint64(l.sender)*7+l.number*3)%uint64(len(phrases))]
	return fmt.Sprintf("%s #%s-%d%c%d", phrase, run[:markRun], l.sender, channelLetters[l.channel], l.number)
}

func (l line) String() string { return fmt.Sprintf("line #%d %v", l.number, l.channel) }

// parseLine reads the mark of a line. ok is false if it is not of this run.
func parseLine(run, text string) (l line, ok bool) {
	_, mark, ok := strings.Cut(text, "#"+run[:markRun]+"-")
	at := strings.IndexAny(mark, channelLetters)
	if !ok || at < 0 {
		return l, false
	}
	sender, err := strconv.ParseUint(mark[:at], 10, 31)
	number, nerr := strconv.ParseUint(mark[at+1:], 10, 64)
	return line{int(sender), channel(strings.IndexByte(channelLetters, mark[at])), number}, err == nil && nerr == nil
}

// talks are all streams of lines of a run.
type talks struct {
	run     *player.Run
	streams [][channels]stream // by sender
	topics  []topic            // by room
}

// stream is what one robot says in one channel. All who hear it share it.
type stream struct {
	mu   sync.Mutex
	said uint64 // number of the last line
	sure uint64 // of the last that the server took
	not  map[uint64]fate
	wait map[uint64]bool // stored lines that were not heard yet
	last []lately        // lines, by number
}

// lately is one of the last lines of a stream.
type lately struct {
	due      time.Duration
	heard    bool
	received bool // heard by whom a private line is for
}

// fate is why a line need not be heard.
type fate byte

const (
	taken   fate = iota // it must be heard
	refused             // it must not
	perhaps             // refused, or another of the same time was
	stored              // it waits for its receiver's next login, and must be heard after that
)

func newTalks(run *player.Run) *talks {
	return &talks{run: run, streams: make([][channels]stream, run.Robots), topics: make([]topic, run.Robots/roomSize+1)}
}

// topic is that of a robot's room.
func (t *talks) topic(index int) *topic { return &t.topics[index/roomSize] }

// roomOf is the room of a robot.
func roomOf(index int) string { return fmt.Sprint("tavern-", index/roomSize) }

// partnerOf is whom a robot talks to in private.
func (t *talks) partnerOf(index int) int { return (index + 1) % t.run.Robots }

// say gives the next line its number.
func (s *stream) say(due time.Duration) (number uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil {
		s.last = make([]lately, lastKnown)
	}
	s.said++
	s.last[s.said%lastKnown] = lately{due: due}
	return s.said
}

// decide notes what became of a line, and reports whether somebody has heard it
// already.
func (s *stream) decide(number uint64, f fate) (heard bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f == taken {
		s.sure = max(s.sure, number)
		delete(s.not, number)
	} else {
		if s.not == nil {
			s.not = map[uint64]fate{}
		}
		s.not[number] = f
	}
	known := s.knows(number)
	if f == stored && known && !s.last[number%lastKnown].received {
		if s.wait == nil {
			s.wait = map[uint64]bool{}
		}
		s.wait[number] = true
	}
	return known && s.last[number%lastKnown].heard
}

// waiting are the stored lines that were not heard yet, in order.
func (s *stream) waiting() []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.wait))
}

// knows reports whether a line is one of the last. The caller holds mu.
func (s *stream) knows(number uint64) bool {
	return number > 0 && number <= s.said && s.said-number < lastKnown
}

// numbers are those of the last line and of the last that the server took.
func (s *stream) numbers() (said, sure uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.said, s.sure
}

// hear notes that a line was heard. It tells what had become of it, the number of
// the last line said, and when this one was due; known is false if that is too
// long ago. waited tells that it was stored, and had not been heard.
func (s *stream) hear(number uint64, receives bool) (f fate, said uint64, due time.Duration, known, waited bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known = s.knows(number); known {
		l := &s.last[number%lastKnown]
		due, l.heard, l.received = l.due, true, l.received || receives
	}
	if receives {
		waited = s.wait[number]
		delete(s.wait, number)
	}
	return s.not[number], s.said, due, known, waited
}

// mustHear counts the lines from one number to another that nothing excuses from
// being heard.
func (s *stream) mustHear(from, to uint64) (count uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if to < from {
		return 0
	}
	count = to - from + 1
	for number := range s.not {
		if number >= from && number <= to {
			count--
		}
	}
	return count
}
