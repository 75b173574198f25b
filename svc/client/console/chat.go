package console

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/proto/pb"
)

// clean is text that others have written, without what would do something to the
// terminal. The server lets none of it through, but who knows which server it is.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// heard prints lines that the server pushes.
func (c *Console) heard(body []byte) error {
	var m pb.LineACK
	if err := proto.Unmarshal(body, &m); err != nil {
		return fmt.Errorf("decode LineACK: %w", err)
	}
	if m.Missed {
		c.missed(m.Lines)
		return nil
	}
	for _, l := range m.Lines {
		if c.seen.add(l.Id) {
			c.print(c.show.line(l))
		}
		if c.mine[l.Id] {
			delete(c.mine, l.Id)
			c.settle()
		}
	}
	return nil
}

// missed prints private lines that have waited, once, should they come again.
func (c *Console) missed(lines []*pb.LineACK_Line) {
	words := c.recall(lines, false)
	if len(words) == 0 {
		return
	}
	c.print("while you were away:")
	for _, line := range words {
		c.print(line)
	}
}

// recall is lines of some time ago, in words. Those that were shown already are
// left out, unless all are wanted.
func (c *Console) recall(lines []*pb.LineACK_Line, all bool) (words []string) {
	for _, l := range lines {
		if c.seen.add(l.Id) || all {
			words = append(words, "  "+c.show.at(l, time.Now())+" "+c.show.named(l))
		}
	}
	return words
}

// show is how lines look.
type show struct {
	names  bool // of those who say something to everybody
	colors bool
}

// What is shown in colours.
const (
	dim     = "2"
	bold    = "1"
	yellow  = "33"
	magenta = "35"
	cyan    = "36"
)

func (s show) color(code, text string) string {
	if !s.colors {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// line is a line that is said now.
func (s show) line(l *pb.LineACK_Line) string {
	if l.Kind == pb.LineACK_Said && l.Room == "" && l.To == "" && !s.names {
		return clean(l.Text) // a script expects what it has said
	}
	return s.named(l)
}

// named is a line with who said it, and where.
func (s show) named(l *pb.LineACK_Line) string {
	room := ""
	if l.Room != "" {
		room = s.color(cyan, "["+clean(l.Room)+"]") + " "
	}
	text := clean(l.Text)
	switch {
	case l.Kind == pb.LineACK_Notice:
		return room + s.color(yellow, "*** "+text)
	case l.Kind != pb.LineACK_Said: // a newer server may know more kinds
		return room + s.color(dim, "* "+text)
	case l.To != "":
		return s.color(magenta, person(l.From, l.Name)+" -> "+clean(l.To)+":") + " " + text
	}
	name := l.Name
	if name == "" {
		name = l.From
	}
	return room + s.color(bold, clean(name)+":") + " " + text
}

// at is when a line was said, in short.
func (s show) at(l *pb.LineACK_Line, now time.Time) string {
	at, format := time.UnixMilli(l.UnixMs), "2006-01-02 15:04"
	if at.Format(time.DateOnly) == now.Format(time.DateOnly) {
		format = "15:04"
	}
	return s.color(dim, at.Format(format))
}

// person is a player by uid, which is what /to takes, and name if it is another.
func person(uid, name string) string {
	if name == "" || name == uid {
		return clean(uid)
	}
	return clean(uid) + " (" + clean(name) + ")"
}

func joinWords(m *pb.JoinACK) string {
	who := "alone"
	switch n := m.Members; {
	case n == 2:
		who = "with 1 other"
	case n > 2:
		who = fmt.Sprintf("with %d others", n-1)
	}
	topic := ""
	if m.Topic != "" {
		topic = "; its topic: " + clean(m.Topic)
	}
	return fmt.Sprintf("you are in %s, %s%s", clean(m.Room), who, topic)
}

func whoWords(m *pb.WhoACK) string {
	where := "online"
	if m.Room != "" {
		where = "in " + clean(m.Room)
	}
	var all []string
	for _, p := range m.Players {
		all = append(all, person(p.Uid, p.Name))
	}
	text := fmt.Sprintf("%d %s: %s", m.Total, where, strings.Join(all, ", "))
	if more := int(m.Total) - len(all); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// remembered is how many lines a client knows that it has shown.
const remembered = 1024

// seen remembers the IDs of lines. It belongs to the connection's goroutine.
type seen struct {
	ids    map[uint64]bool
	oldest []uint64
}

// add notes a line; false if it is known already. What has no ID is always new.
func (s *seen) add(id uint64) bool {
	if id == 0 {
		return true
	}
	if s.ids[id] {
		return false
	}
	if s.ids == nil {
		s.ids = map[uint64]bool{}
	}
	if len(s.oldest) >= remembered {
		delete(s.ids, s.oldest[0])
		s.oldest = s.oldest[1:]
	}
	s.ids[id] = true
	s.oldest = append(s.oldest, id)
	return true
}
