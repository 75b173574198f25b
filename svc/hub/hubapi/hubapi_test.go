package hubapi_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/hub/hubapi"
	"github.com/davyxu/cellmesh_demo/util/discovery"
	"github.com/davyxu/cellmesh_demo/util/msgmux"
)

const patience = 20 * time.Second

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// world is processes that are connected in memory.
type world struct {
	t      *testing.T
	memory hubapi.Memory
	log    logBuffer
}

func (w *world) join(svcid string) *hubapi.Hub {
	return w.joinOver(svcid, w.memory.Open(svcid))
}

func (w *world) joinOver(svcid string, e hubapi.Engine) *hubapi.Hub {
	name, index, group, err := discovery.ParseID(svcid)
	if err != nil {
		w.t.Fatal(err)
	}
	h := hubapi.New(e, discovery.Service{ID: svcid, Name: name, Index: index, Group: group}, slog.New(slog.NewTextHandler(&w.log, nil)))
	w.t.Cleanup(h.Close)
	return h
}

type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// list is lines from handlers.
type list struct {
	mu  sync.Mutex
	all []string
}

func (l *list) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, fmt.Sprintf(format, args...))
}

func (l *list) get() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}

func (l *list) wait(t *testing.T, want ...string) {
	t.Helper()
	eventually(t, strings.Join(want, ", "), func() bool { return len(l.get()) >= len(want) })
	if got := l.get(); !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
}

func chat(text string) *pb.ChatACK { return &pb.ChatACK{Content: text} }

func publish(t *testing.T, h *hubapi.Hub, channel, text string) {
	t.Helper()
	if err := h.Publish(t.Context(), channel, chat(text)); err != nil {
		t.Fatal(err)
	}
}

// Messages reach the handlers of their type, on the channels asked for, the own
// ones among them.
func TestSubscribe(t *testing.T) {
	w := &world{t: t}
	game, other := w.join("game#0@dev"), w.join("game#1@dev")
	var rooms, own, others list
	hubapi.Listen(game, "room.*", func(at hubapi.Delivery, m *pb.ChatACK) { rooms.add("%s %s %s", at.From, at.Channel, m.Content) })
	hubapi.Subscribe(game, hubapi.Own, func(from string, m *pb.ChatACK) { own.add("%s %s", from, m.Content) })
	hubapi.Subscribe(other, hubapi.Own, func(from string, m *pb.ChatACK) { others.add("%s %s", from, m.Content) })
	hubapi.Subscribe(other, "room.*", func(string, *pb.NoticeREQ) { t.Error("a message of another type") })
	publish(t, other, "room.1", "a")
	publish(t, game, "room.2", "b")
	publish(t, game, "game", "both")
	publish(t, game, "game#1@dev", "one")
	rooms.wait(t, "game#1@dev room.1 a", "game#0@dev room.2 b")
	own.wait(t, "game#0@dev both")
	others.wait(t, "game#0@dev both", "game#0@dev one")
}

func TestPublishRefuses(t *testing.T) {
	w := &world{t: t}
	h := w.join("game#0@dev")
	for _, channel := range []string{"", "a b", "room.*", ">"} {
		if err := h.Publish(t.Context(), channel, chat("x")); err == nil {
			t.Errorf("published on %q", channel)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Publish(ctx, "news", chat("x")); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := h.Publish(t.Context(), "news", chat("\xff")); err == nil {
		t.Error("published what cannot be encoded")
	}
	if err := h.Publish(t.Context(), "news", chat(strings.Repeat("x", hubapi.MaxMessage))); err == nil {
		t.Error("published what is too large")
	}
	defer func() {
		if v := recover(); v == nil || !strings.Contains(fmt.Sprint(v), "a..b") {
			t.Errorf("panicked with %v", v)
		}
	}()
	hubapi.Subscribe(h, "a..b", func(string, *pb.ChatACK) {})
}

// A handler that is stuck misses what does not find room, is told where and how
// much, and harms nobody; a panic harms nobody either.
func TestSlowHandler(t *testing.T) {
	w := &world{t: t}
	h := w.join("game#0@dev")
	stuck, release := make(chan struct{}), make(chan struct{})
	var slow list
	var quick int
	var mu sync.Mutex
	hubapi.Subscribe(h, "news", func(_ string, m *pb.ChatACK) {
		if m.Content == "0" {
			close(stuck)
			<-release
		}
		slow.add("%s", m.Content)
	}, hubapi.Missed(func(n uint64) { slow.add("missed %d", n) }))
	hubapi.Subscribe(h, "news", func(string, *pb.ChatACK) {
		mu.Lock()
		defer mu.Unlock()
		if quick++; quick == 3 {
			panic("oh dear")
		}
	})
	publish(t, h, "news", "0")
	<-stuck
	const more = 100
	for i := range hubapi.MaxWaiting + more {
		publish(t, h, "news", fmt.Sprint(i+1))
		if i%1000 == 0 {
			eventually(t, "the quick one keeps up", func() bool { mu.Lock(); defer mu.Unlock(); return quick == i+2 })
		}
	}
	eventually(t, "the quick one has all", func() bool { mu.Lock(); defer mu.Unlock(); return quick == hubapi.MaxWaiting+more+1 })
	close(release)
	eventually(t, "told", func() bool { return len(slow.get()) == hubapi.MaxWaiting+2 })
	publish(t, h, "news", "after")
	eventually(t, "goes on", func() bool { return len(slow.get()) == hubapi.MaxWaiting+3 })
	got := slow.get()
	for i := range hubapi.MaxWaiting + 1 {
		if got[i] != fmt.Sprint(i) {
			t.Fatalf("message %d is %q", i, got[i])
		}
	}
	if end := got[hubapi.MaxWaiting+1:]; !slices.Equal(end, []string{fmt.Sprint("missed ", more), "after"}) {
		t.Errorf("at the end: %q", end)
	}
	if log := w.log.String(); strings.Count(log, "does not keep up") != 1 || strings.Count(log, "oh dear") != 1 || !strings.Contains(log, "hubapi_test.go") {
		t.Errorf("log: %s", log)
	}
}

// The bound in bytes counts too, and a gap in the middle is told in the middle.
func TestSlowHandlerLargeMessages(t *testing.T) {
	w := &world{t: t}
	h := w.join("game#0@dev")
	entered, release := make(chan struct{}), make(chan struct{})
	var got list
	hubapi.Subscribe(h, "news", func(_ string, m *pb.ChatACK) {
		if len(m.Content) == 1 {
			entered <- struct{}{}
			<-release
		}
		got.add("%d", len(m.Content))
	}, hubapi.Missed(func(n uint64) { got.add("missed %d", n) }))
	publish(t, h, "news", "x")
	<-entered
	const size = 500_000
	fits := hubapi.MaxWaitingBytes / (size + 4)
	var want []string
	for i := range fits + 3 {
		publish(t, h, "news", strings.Repeat("x", size))
		if i < fits {
			want = append(want, fmt.Sprint(size))
		}
	}
	publish(t, h, "news", "yz") // finds room, although larger ones did not
	release <- struct{}{}
	got.wait(t, append(append([]string{"1"}, want...), "missed 3", "2")...)
}

// told is an engine that tells what a test wants.
type told struct {
	hubapi.Engine
	events hubapi.Events
}

func (e *told) Notify(events hubapi.Events) { e.events = events }

// What is missing on the way here is told to those who asked.
func TestMissedOnTheWay(t *testing.T) {
	w := &world{t: t}
	e := &told{Engine: w.memory.Open("game#0@dev")}
	h := w.joinOver("game#0@dev", e)
	var got list
	hubapi.Subscribe(h, "news", func(_ string, m *pb.ChatACK) { got.add("%s", m.Content) }, hubapi.Missed(func(n uint64) { got.add("missed %d", n) }))
	hubapi.Subscribe(h, "news", func(string, *pb.ChatACK) {})
	publish(t, h, "news", "a")
	e.events.Missed(7)
	publish(t, h, "news", "b")
	got.wait(t, "a", "missed 7", "b")
	e.events.Missed(0)
	got.wait(t, "a", "missed 7", "b", "missed 0")
}

// After Cancel nothing is handled, not even what waits; Close waits for handlers.
func TestCancelAndClose(t *testing.T) {
	w := &world{t: t}
	h := w.join("game#0@dev")
	entered, release := make(chan struct{}), make(chan struct{})
	var got list
	s := hubapi.Subscribe(h, "news", func(_ string, m *pb.ChatACK) {
		got.add("%s", m.Content)
		entered <- struct{}{}
		<-release
	})
	own := hubapi.Subscribe(h, hubapi.Own, func(string, *pb.ChatACK) { t.Error("cancelled") })
	own.Cancel()
	publish(t, h, "game", "x")
	publish(t, h, "news", "a")
	<-entered
	publish(t, h, "news", "b")
	s.Cancel()
	s.Cancel()
	closed := make(chan struct{})
	go func() { h.Close(); close(closed) }()
	select {
	case <-closed:
		t.Error("Close did not wait")
	case <-time.After(10 * time.Millisecond):
	}
	close(release)
	<-closed
	got.wait(t, "a")
	hubapi.Subscribe(h, "news", func(string, *pb.ChatACK) { t.Error("closed") })
	publish(t, h, "news", "c")
	if _, err := hubapi.Request[pb.StatusACK](t.Context(), h, "game", &pb.StatusREQ{}); !errors.Is(err, hubapi.ErrClosed) {
		t.Error(err)
	}
}

// Requests are answered, refused, failed on, or not answered, and the asker
// knows which.
func TestRequest(t *testing.T) { synctest.Test(t, testRequest) }

func testRequest(t *testing.T) {
	w := &world{t: t}
	asker, game := w.join("login#0@dev"), w.join("game#0@dev")
	silent := make(chan error, 1)
	hubapi.Answer(game, hubapi.Own, func(ctx context.Context, from string, q *pb.NoticeREQ) (*pb.NoticeACK, error) {
		switch q.Text {
		case "refuse":
			return nil, msgmux.Refuse(pb.ResultCode_TextRefused, "not %s", "that")
		case "fail":
			return nil, errors.New("disk on fire")
		case "panic":
			panic("ouch")
		case "silent":
			return nil, nil
		case "slow":
			<-ctx.Done()
			silent <- ctx.Err()
			return nil, nil
		}
		return &pb.NoticeACK{Seen: uint32(len(from + q.Text))}, nil
	})
	ask := func(channel, text string, wait time.Duration) (*pb.NoticeACK, error) {
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		defer cancel()
		return hubapi.Request[pb.NoticeACK](ctx, asker, channel, &pb.NoticeREQ{Text: text})
	}
	for _, channel := range []string{"game", "game#0@dev"} {
		if a, err := ask(channel, "hello", patience); err != nil || a.Seen != uint32(len("login#0@devhello")) {
			t.Errorf("%s: %v, %v", channel, a, err)
		}
	}
	var no *msgmux.Refusal
	if a, err := ask("game", "refuse", patience); !errors.As(err, &no) || no.Code != int32(pb.ResultCode_TextRefused) || no.Reason != "not that" || a != nil {
		t.Errorf("%v, %v", a, err)
	}
	for _, text := range []string{"fail", "panic"} {
		if _, err := ask("game", text, patience); !errors.As(err, &no) || no.Code != int32(pb.ResultCode_InternalError) || strings.Contains(no.Reason, "disk") {
			t.Errorf("%s: %v", text, err)
		}
	}
	eventually(t, "logged", func() bool { // it may be after the answer
		log := w.log.String()
		return strings.Contains(log, "disk on fire") && strings.Contains(log, "ouch")
	})
	if log := w.log.String(); strings.Contains(log, "not that") {
		t.Errorf("log: %s", log)
	}
	if _, err := ask("nobody", "hello", patience); !errors.Is(err, hubapi.ErrNoResponder) {
		t.Error(err)
	}
	if _, err := ask("game", "silent", 20*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "NoticeREQ on game: no answer") {
		t.Error(err)
	}
	if _, err := ask("game", "slow", 20*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if err := <-silent; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the handler's context: %v", err)
	}
	// Another type of request is refused, another type of answer is an error.
	if _, err := hubapi.Request[pb.StatusACK](t.Context(), asker, "game", &pb.StatusREQ{}); !errors.As(err, &no) || no.Reason != "game#0@dev answers no StatusREQ" {
		t.Error(err)
	}
	if _, err := hubapi.Request[pb.StatusACK](t.Context(), asker, "game", &pb.NoticeREQ{Text: "x"}); err == nil || !strings.Contains(err.Error(), "answers with NoticeACK, want StatusACK") {
		t.Error(err)
	}
	// What is only published needs no answer.
	if err := asker.Publish(t.Context(), "game", &pb.NoticeREQ{Text: "x"}); err != nil {
		t.Error(err)
	}
	if a, err := ask("game", "after all", patience); err != nil || a == nil {
		t.Error(err)
	}
}

// Gather hears everybody, refusals too, until it has enough.
func TestGather(t *testing.T) { synctest.Test(t, testGather) }

func testGather(t *testing.T) {
	w := &world{t: t}
	asker := w.join("login#0@dev")
	for i := range 3 {
		game := w.join(fmt.Sprintf("game#%d@dev", i))
		hubapi.Answer(game, hubapi.Own, func(context.Context, string, *pb.NoticeREQ) (*pb.NoticeACK, error) {
			if i == 2 {
				return nil, msgmux.Refuse(pb.ResultCode_Muted, "no")
			}
			return &pb.NoticeACK{Seen: uint32(i)}, nil
		})
	}
	heard := map[string]string{}
	err := hubapi.Gather(t.Context(), asker, "game", &pb.NoticeREQ{}, func(from string, a *pb.NoticeACK, err error) bool {
		heard[from] = fmt.Sprint(a.GetSeen(), " ", err)
		return len(heard) < 3
	})
	if err != nil || heard["game#0@dev"] != "0 <nil>" || heard["game#1@dev"] != "1 <nil>" || !strings.Contains(heard["game#2@dev"], "no") {
		t.Errorf("%q, %v", heard, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	n := 0
	err = hubapi.Gather(ctx, asker, "game", &pb.NoticeREQ{}, func(string, *pb.NoticeACK, error) bool { n++; return true })
	if n != 3 || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%d answers, %v", n, err)
	}
}
