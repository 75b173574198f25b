package main

import (
	"bytes"
	"fmt"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The messages are found however they are cut into pieces, and none that is not
// there; nothing that a server might say reaches out of what was read.
func FuzzCutNATS(f *testing.F) {
	f.Add([]byte("MSG bench.news 1 5\r\nhello\r\nPING\r\nMSG bench.news 1 reply 2\r\n\r\n\r\n+OK\r\n"), uint8(3))
	f.Add([]byte("MSG x 1 99999999999999999999999\r\n"), uint8(1))
	f.Add([]byte("MSG x 1 -5\r\nMSG\r\n\n\n"), uint8(7))
	f.Fuzz(func(t *testing.T, all []byte, piece uint8) {
		whole, used := cutNATS(all)
		if used < 0 || used > len(all) || whole < 0 {
			t.Fatalf("%d messages in %d of %d bytes", whole, used, len(all))
		}
		var have []byte
		var found int64
		for _, b := range bytes.SplitAfter(all, []byte{piece}) {
			have = append(have, b...)
			n, used := cutNATS(have)
			found += n
			have = have[used:]
		}
		if found != whole {
			t.Errorf("%d messages in pieces, %d in one", found, whole)
		}
	})
}

func TestCutNATS(t *testing.T) {
	line := "MSG bench.news 1 5\r\nhello\r\n"
	all := []byte(line + "PING\r\n" + line)
	for n := range len(all) + 1 {
		want := int64(0)
		switch {
		case n == len(all):
			want = 2
		case n >= len(line):
			want = 1
		}
		if got, _ := cutNATS(all[:n]); got != want {
			t.Errorf("%d messages in %q, want %d", got, all[:n], want)
		}
	}
}

// The window bounds how far a publisher is ahead, whoever is slow.
func TestWindow(t *testing.T) {
	for _, n := range fanOuts {
		if w := window(n); w < 2*between {
			t.Errorf("%d subscribers: a window of %d leaves no room for two rounds of %d", n, w, between)
		}
	}
	got := make([]counter, 3)
	for i := range got {
		got[i].n.Store(int64(10 + i))
	}
	if slowest(got) != 10 || total(got) != 33 {
		t.Error(fmt.Sprint(slowest(got), total(got)))
	}
}
