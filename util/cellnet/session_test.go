package cellnet

import (
	"errors"
	"io"
	"testing"
)

func TestCloseDeliversFirst(t *testing.T) {
	for _, kind := range []string{"tcp", "pipe"} {
		t.Run(kind, func(t *testing.T) {
			cfg := &Config{Framing: LinkFraming}
			a, b := Pipe(cfg, cfg)
			if kind == "tcp" {
				a, b = pair(t, cfg, cfg)
			}
			ra, rb := newRecorder(), newRecorder()
			run(t, a, ra)
			const n = 1000
			for range n {
				if _, err := a.Append([]byte("head"), make([]byte, 1000)); err != nil {
					t.Fatal(err)
				}
			}
			mine := errors.New("my reason")
			a.Close(mine)
			a.Close(errors.New("too late"))
			if _, err := a.Append(nil, []byte("x")); err != ErrClosed {
				t.Errorf("Append after Close: %v", err)
			}
			run(t, b, rb)
			if err := wait(t, "b ended", rb.ended); err != io.EOF {
				t.Errorf("b ended with %v", err)
			}
			if err := wait(t, "a ended", ra.ended); err != mine {
				t.Errorf("a ended with %v", err)
			}
			if len(rb.got()) != n {
				t.Errorf("%d of %d frames arrived", len(rb.got()), n)
			}
		})
	}
}
