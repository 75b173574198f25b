package cellnet

import (
	"encoding/hex"
	"net"
	"strings"
	"testing"
)

// golden are packets of the 2019 clients, as they are on the wire.
var golden = []struct {
	name string
	id   uint16
	body string
	hex  string
}{
	{"LoginREQ", 18837, "\n\x031.0\x12\x04demo\x1a\x041234", "13 00 95 49 0a 03 31 2e 30 12 04 64 65 6d 6f 1a 04 31 32 33 34"},
	{"VerifyREQ", 13457, "\n\x06verify\x12\ngame#0@dev", "16 00 91 34 0a 06 76 65 72 69 66 79 12 0a 67 61 6d 65 23 30 40 64 65 76"},
	{"ChatREQ", 29052, "\n\x05hello", "09 00 7c 71 0a 05 68 65 6c 6c 6f"},
	{"PingACK", 16241, "", "02 00 71 3f"},
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestGoldenBytesIn(t *testing.T) {
	r := newRecorder()
	addr := serve(t, &Acceptor{WebSocket: true, Open: func(*Session) (Handler, error) { return r, nil }})
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, g := range golden {
		c.Write(unhex(t, g.hex))
	}
	within(t, "all frames", func() bool { return len(r.got()) == len(golden) })
	for i, g := range golden {
		frame := []byte(r.got()[i])
		if MessageID(frame) != g.id || string(Body(frame)) != g.body {
			t.Errorf("%s: ID %d body %q", g.name, MessageID(frame), Body(frame))
		}
	}
}

func TestGoldenBytesOut(t *testing.T) {
	a, b := tcpPair(t)
	s := NewSession(a, nil)
	want := ""
	for _, g := range golden {
		if err := s.SendMessage(g.id, []byte(g.body)); err != nil {
			t.Fatal(err)
		}
		want += string(unhex(t, g.hex))
	}
	s.Close(nil)
	if got := readAll(t, b); got != want {
		t.Errorf("wrote %x\nwant  %x", got, want)
	}
}

func TestAppendMessageHead(t *testing.T) {
	if got := AppendMessageHead(nil, 16241); hex.EncodeToString(got) != "713f" {
		t.Errorf("%x", got)
	}
}
