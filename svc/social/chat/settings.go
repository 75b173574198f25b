package chat

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/social/rules"
	"github.com/davyxu/cellmesh_demo/util/msgmux"
)

// settingsPrefix is where operators set the fields of Settings, by their JSON
// names: config/social/text_max. Running socials follow.
const settingsPrefix = "config/social/"

// Settings are what operators may change while socials run.
type Settings struct {
	TextMax      int      `json:"text_max"`      // characters of a line
	TopicMax     int      `json:"topic_max"`     // characters of a topic
	RoomsMax     int      `json:"rooms_max"`     // rooms that a client may be in
	InboxMax     int      `json:"inbox_max"`     // private lines that may wait for a player
	HistoryLines int      `json:"history_lines"` // kept of each room
	JoinLines    int      `json:"join_lines"`    // of them sent to who joins
	KeepDays     int      `json:"keep_days"`     // for lines, topics of dead rooms, and lines that wait
	Filter       WordList `json:"filter"`
}

// WordList is words that others shall not read.
type WordList struct {
	Words  []string `json:"words"`
	Refuse bool     `json:"refuse"` // texts with one of them; else stars are shown instead
}

func defaultSettings() Settings {
	return Settings{TextMax: 500, TopicMax: 120, RoomsMax: 16, InboxMax: 100, HistoryLines: 200, JoinLines: 20, KeepDays: 30}
}

// maxAnswer is how many lines one answer holds at most.
const maxAnswer = 100

// Validate returns what is wrong with settings.
func (s *Settings) Validate() error {
	for _, f := range []struct {
		name              string
		value, from, upto int
	}{
		{"text_max", s.TextMax, 1, 1000}, // the messages' routes allow 4096 bytes
		{"topic_max", s.TopicMax, 1, 500},
		{"rooms_max", s.RoomsMax, 1, 200}, // agents allow 256 groups
		{"inbox_max", s.InboxMax, 1, 1000},
		{"history_lines", s.HistoryLines, 1, 10_000},
		{"join_lines", s.JoinLines, 0, maxAnswer},
		{"keep_days", s.KeepDays, 1, 3650},
	} {
		if f.value < f.from || f.value > f.upto {
			return fmt.Errorf("%s: %d is not from %d to %d", f.name, f.value, f.from, f.upto)
		}
	}
	if _, err := rules.NewWords(s.Filter.Words); err != nil {
		return fmt.Errorf("filter: %w", err)
	}
	return nil
}

// Filter decides about what players write, beyond its form: put another one into
// New, for instance one that asks a service. Any goroutine may use it.
type Filter interface {
	// Pass returns text as others shall see it. An error made by msgmux.Refuse is
	// told to the player; any other refuses the text, and is the log's.
	Pass(ctx context.Context, uid, text string) (shown string, err error)
}

// wordList is the Filter that a WordList describes.
type wordList struct{ now atomic.Pointer[compiled] }

type compiled struct {
	words  *rules.Words
	refuse bool
}

// follow takes new settings.
func (w *wordList) follow(s *Settings) {
	words, err := rules.NewWords(s.Filter.Words)
	if err != nil {
		return // impossible: they were validated
	}
	w.now.Store(&compiled{words, s.Filter.Refuse})
}

// Pass is that of Filter.
func (w *wordList) Pass(_ context.Context, _, text string) (string, error) {
	now := w.now.Load()
	shown, found := now.words.Mask(text)
	if found && now.refuse {
		return "", msgmux.Refuse(pb.ResultCode_TextRefused, "it has a word that is not allowed here")
	}
	return shown, nil
}
