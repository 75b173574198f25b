package cellnet

import (
	"testing"
)

func TestEchoOverOnePort(t *testing.T) {
	addr := serve(t, &Acceptor{
		WebSocket: true,
		Open:      func(s *Session) (Handler, error) { return &echo{s: s}, nil },
	})
	for _, url := range []string{"tcp://" + addr, "ws://" + addr + "/"} {
		t.Run(url[:3], func(t *testing.T) {
			s := dial(t, url, nil)
			r := newRecorder()
			run(t, s, r)
			for _, body := range []string{"hello", "", "world"} {
				if err := s.SendMessage(29052, []byte(body)); err != nil {
					t.Fatal(err)
				}
			}
			within(t, "three frames", func() bool { return len(r.got()) == 3 })
			for i, want := range []string{"\x7c\x71hello", "\x7c\x71", "\x7c\x71world"} {
				if got := r.got()[i]; got != want {
					t.Errorf("frame %d: %q, want %q", i, got, want)
				}
			}
		})
	}
}
