package rarely

import (
	"testing"
	"testing/synctest"
	"time"
)

// What is left out is counted, and told with the next line.
func TestSay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New()
		said := 0
		for range 100 {
			if _, ok := l.Say(); ok {
				said++
			}
		}
		if said != burst {
			t.Errorf("%d of 100 lines at once were said, want %d", said, burst)
		}
		time.Sleep(time.Second)
		if unsaid, ok := l.Say(); !ok || unsaid != 100-burst {
			t.Errorf("a second later: %v, %d left out, want %d", ok, unsaid, 100-burst)
		}
		if unsaid, ok := l.Say(); !ok || unsaid != 0 {
			t.Errorf("the next one: %v, %d left out, want none", ok, unsaid)
		}
	})
}

func TestSayAllocs(t *testing.T) {
	l := New()
	if n := testing.AllocsPerRun(100, func() { l.Say() }); n != 0 {
		t.Errorf("Say allocates %v times", n)
	}
}
