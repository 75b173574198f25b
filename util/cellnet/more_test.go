package cellnet

import (
	"net"
	"slices"
	"testing"
)

// asking asks at every frame whether there are more.
type asking struct {
	recorder *recorder
	s        *Session
	more     []bool
}

func (a *asking) Frame(b []byte) error {
	a.more = append(a.more, a.s.More())
	return a.recorder.Frame(b)
}
func (a *asking) Batch()              { a.recorder.Batch() }
func (a *asking) Closed(reason error) { a.recorder.Closed(reason) }

// More knows of whole frames behind the one being handled, and of no others.
func TestMore(t *testing.T) {
	for _, framing := range []Framing{ClientFraming, LinkFraming} {
		ours, theirs := net.Pipe()
		s := NewSession(ours, &Config{Framing: framing})
		a := &asking{recorder: newRecorder(), s: s}
		run(t, s, a)
		frame := map[Framing]string{ClientFraming: "\x03\x00abc", LinkFraming: "\x03\x00\x00\x00abc"}[framing]
		if _, err := theirs.Write([]byte(frame + frame + frame + frame[:4])); err != nil {
			t.Fatal(err)
		}
		if _, err := theirs.Write([]byte(frame[4:])); err != nil {
			t.Fatal(err)
		}
		within(t, "frames", func() bool { return a.recorder.count() == 4 })
		theirs.Close()
		wait(t, "the end", a.recorder.ended)
		if want := []bool{true, true, false, false}; !slices.Equal(a.more, want) {
			t.Errorf("more: %v, want %v", a.more, want)
		}
	}
}
