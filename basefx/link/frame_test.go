package link

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"slices"
	"testing"

	"github.com/davyxu/cellmesh_demo/util/cellnet"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// deadEnd is a session whose peer reads nothing.
func deadEnd(ls *Links) *cellnet.Session {
	conn, _ := net.Pipe()
	return cellnet.NewSession(conn, &ls.session)
}

// A frame is what was put into it, and nothing else is a frame.
func FuzzParseFrame(f *testing.F) {
	f.Add([]byte{})
	f.Add(make([]byte, headLen))
	f.Add(append([]byte{byte(ToClient), 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, "body"...))
	f.Add([]byte{byte(kinds), 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10})
	f.Add([]byte{0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10})
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, err := parseFrame(b)
		if valid := len(b) >= headLen && b[0] < byte(kinds) && b[1] == 0; valid != (err == nil) {
			t.Fatalf("%x: %v", b, err)
		}
		if err != nil {
			return
		}
		var head [headLen]byte
		putHead(&head, frame.Kind, frame.ID, frame.Client)
		if again := append(head[:], frame.Body...); !bytes.Equal(again, b) {
			t.Fatalf("%x became %x", b, again)
		}
	})
}

func FuzzCutList(f *testing.F) {
	f.Add([]byte{})
	f.Add(append(AppendList(nil, []uint64{1, 1 << 60}), "body"...))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		list, rest, ok := CutList(b)
		if !ok {
			return
		}
		var clients []uint64
		for i := range list.Len() {
			clients = append(clients, list.At(i))
		}
		if again := append(AppendList(nil, clients), rest...); !bytes.Equal(again, b) {
			t.Fatalf("%x became %x", b, again)
		}
	})
}

func TestList(t *testing.T) {
	want := []uint64{0, 7, 1<<64 - 1}
	list, rest, ok := CutList(append(AppendList(nil, want), "rest"...))
	var got []uint64
	for i := range list.Len() {
		got = append(got, list.At(i))
	}
	if !ok || !slices.Equal(got, want) || string(rest) != "rest" {
		t.Errorf("got %v %q %v", got, rest, ok)
	}
	if _, _, ok := CutList(AppendList(nil, want)[:20]); ok {
		t.Error("a list longer than the body was taken")
	}
}

func FuzzCutGroup(f *testing.F) {
	f.Add([]byte{})
	f.Add(append(AppendGroup(nil, "room"), "body"...))
	f.Add([]byte{3, 'a', 'b'})
	f.Fuzz(func(t *testing.T, b []byte) {
		group, rest, ok := CutGroup(b)
		if !ok {
			return
		}
		if again := append(AppendGroup(nil, string(group)), rest...); !bytes.Equal(again, b) {
			t.Fatalf("%x became %x", b, again)
		}
	})
}

// discarding is a link over a real socket whose peer reads and forgets.
func discarding(tb testing.TB) *Link {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	read := make(chan struct{})
	go func() {
		defer close(read)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		buf := make([]byte, 1<<20)
		for {
			if _, err := conn.Read(buf); err != nil {
				return
			}
		}
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	reg := discovery.NewMemory().Open()
	ls := New(Config{Registry: reg, Log: slog.New(slog.DiscardHandler)})
	s := cellnet.NewSession(conn, &ls.session)
	tb.Cleanup(func() {
		s.Abort(io.EOF)
		<-read
		reg.Close()
	})
	return &Link{ID: "game#0@dev", links: ls, session: s}
}

// A relayed message costs no allocation.
func TestAppendFlushAllocs(t *testing.T) {
	l := discarding(t)
	body := make([]byte, 100)
	relay := func() {
		for range 10 {
			if _, err := l.Append(ToClient, 1, 2, body); err != nil {
				t.Fatal(err)
			}
		}
		l.Flush()
	}
	for range 100 {
		relay()
	}
	if n := testing.AllocsPerRun(1000, relay); n >= 1 {
		t.Errorf("%v allocations for 10 messages and a flush", n)
	}
}

// Nor does one that arrives, on the way to its receiver.
func TestFrameAllocs(t *testing.T) {
	l := discarding(t)
	l.receiver = countFrames{}
	var head [headLen]byte
	putHead(&head, ToClient, 7, 9)
	frame := append(head[:], make([]byte, 100)...)
	if n := testing.AllocsPerRun(1000, func() {
		if err := l.frame(frame); err != nil {
			t.Fatal(err)
		}
		l.batch()
	}); n != 0 {
		t.Errorf("%v allocations for a frame", n)
	}
}

type countFrames struct{}

func (countFrames) Frame(Frame) error { return nil }
func (countFrames) Batch()            {}
func (countFrames) Down(error)        {}

func BenchmarkAppend(b *testing.B) {
	l := discarding(b)
	body := make([]byte, 100)
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for i := 0; b.Loop(); i++ {
		l.Append(ToClient, 1, 2, body)
		if i%32 == 0 {
			l.Flush()
		}
	}
}

func BenchmarkFrame(b *testing.B) {
	l := discarding(b)
	l.receiver = countFrames{}
	var head [headLen]byte
	putHead(&head, ToClient, 7, 9)
	frame := append(head[:], make([]byte, 100)...)
	b.ReportAllocs()
	for b.Loop() {
		l.frame(frame)
	}
}
