// Package contract is what every engine of hubapi promises, as tests. An engine's
// own test calls Run; what only that engine promises it tests beside it. Nothing in
// here knows an engine: it uses the interface alone.
//
// contract.go has the promises, listener.go what a test hears.
package contract

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/hub/hubapi"
	"github.com/davyxu/cellmesh_demo/util/cellnet"
)

// patience bounds every wait.
const patience = 20 * time.Second

// Open returns the engine of another process, called svcid, that tells events. It
// ends with the test.
type Open func(svcid string, events hubapi.Events) hubapi.Engine

// Run tests one engine. start begins a new instance of what connects engines, for
// one test, and returns how to open them.
func Run(t *testing.T, start func(t *testing.T) Open) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, open Open)
	}{
		{"Delivers", delivers},
		{"KeepsNothing", keepsNothing},
		{"Order", order},
		{"Wildcards", wildcards},
		{"OnceForEachSubscription", onceForEachSubscription},
		{"Cancel", cancel},
		{"Answers", answers},
		{"Nobody", nobody},
		{"TooLarge", tooLarge},
		{"Waits", waits},
		{"AllAtOnce", allAtOnce},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, start(t)) })
	}
}

func open2(open Open) (a, b hubapi.Engine) {
	return open("game#0@dev", deaf()), open("game#1@dev", deaf())
}

func deaf() hubapi.Events {
	return hubapi.Events{Up: func() {}, Missed: func(uint64) {}, Dropped: func() {}}
}

func flush(t *testing.T, e hubapi.Engine) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := e.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	if !e.Up() {
		t.Error("not up")
	}
}

func publish(t *testing.T, e hubapi.Engine, channel, text string) {
	t.Helper()
	if err := e.Publish(&pb.HubPublish{Channel: channel, MsgId: 7, Body: []byte(text)}, nil); err != nil {
		t.Fatal(err)
	}
}

// Everybody who has subscribed gets it, the publisher too, with all that is in
// it, from whom the engine knows it to be.
func delivers(t *testing.T, open Open) {
	a, b := open2(open)
	hearA, hearB := listen(a, "news"), listen(b, "news")
	other := listen(b, "weather")
	flush(t, a)
	flush(t, b)
	want := &pb.HubPublish{Channel: "news", From: "somebody#9@else", MsgId: 7, Body: []byte("text"), Request: 5, WaitMs: 9, Code: pb.ResultCode_Kicked, Reason: "why"}
	if err := a.Publish(want, nil); err != nil {
		t.Fatal(err)
	}
	for _, h := range []*listener{hearA, hearB} {
		h.wait(t, 1)
		want.From = "game#0@dev"
		if got := h.messages()[0]; got.String() != want.String() {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	publish(t, b, "weather", "rain")
	other.wait(t, 1)
	if got := other.texts(); !slices.Equal(got, []string{"game#1@dev weather rain"}) {
		t.Errorf("got %q", got)
	}
}

// What Publish was given may be used again at once.
func keepsNothing(t *testing.T, open Open) {
	a, b := open2(open)
	hear := listen(b, "news")
	flush(t, b)
	body := make([]byte, 1)
	for i := range 100 {
		body[0] = 'a' + byte(i%26)
		if err := a.Publish(&pb.HubPublish{Channel: "news", Body: body}, nil); err != nil {
			t.Fatal(err)
		}
		body[0] = '!'
	}
	hear.wait(t, 100)
	for i, m := range hear.messages() {
		if m.Body[0] != 'a'+byte(i%26) {
			t.Fatalf("message %d is %q", i, m.Body)
		}
	}
}

// The messages of one publisher on one channel arrive in order, each once.
func order(t *testing.T, open Open) {
	a, b := open2(open)
	hear := []*listener{listen(a, "news"), listen(b, "news")}
	flush(t, a)
	flush(t, b)
	const n = 2000
	var all sync.WaitGroup
	for _, e := range []hubapi.Engine{a, b} {
		all.Go(func() {
			for i := range n {
				publish(t, e, "news", fmt.Sprint(i))
			}
		})
	}
	all.Wait()
	for _, h := range hear {
		h.wait(t, 2*n)
		next := map[string]int{}
		for _, m := range h.messages() {
			if want := fmt.Sprint(next[m.From]); string(m.Body) != want {
				t.Fatalf("from %s came %s, want %s", m.From, m.Body, want)
			}
			next[m.From]++
		}
	}
}

func wildcards(t *testing.T, open Open) {
	a, b := open2(open)
	hear := map[string]*listener{}
	want := map[string][]string{
		"room.1": {"room.1"}, "room.*": {"room.1", "room.2"}, "room.>": {"room.1", "room.2", "room.1.topic"},
		"*.1": {"room.1"}, "*.*.topic": {"room.1.topic"}, "nothing.>": nil,
	}
	for pattern := range want {
		hear[pattern] = listen(b, pattern)
	}
	end := listen(b, "end")
	flush(t, b)
	for _, c := range []string{"room.1", "room.2", "room.1.topic", "room", "hall"} {
		publish(t, a, c, "x")
	}
	publish(t, a, "end", "x")
	end.wait(t, 1)
	for pattern, channels := range want {
		hear[pattern].wait(t, len(channels))
		var got []string
		for _, m := range hear[pattern].messages() {
			got = append(got, m.Channel)
		}
		if !slices.Equal(got, channels) {
			t.Errorf("%s got %q, want %q", pattern, got, channels)
		}
	}
}

// One process may have many subscriptions that match: each gets the message once.
func onceForEachSubscription(t *testing.T, open Open) {
	a, b := open2(open)
	hear := []*listener{listen(b, "room.1"), listen(b, "room.1"), listen(b, "room.*"), listen(b, ">"), listen(b, "*.1")}
	flush(t, b)
	publish(t, a, "room.1", "x")
	publish(t, a, "room.1", "last")
	for i, h := range hear {
		h.wait(t, 2)
		if got := h.texts(); !slices.Equal(got, []string{"game#0@dev room.1 x", "game#0@dev room.1 last"}) {
			t.Errorf("subscription %d got %q", i, got)
		}
	}
}

// Cancel ends one subscription, and no other.
func cancel(t *testing.T, open Open) {
	a, b := open2(open)
	hear, same, pattern := listen(b, "room.1"), listen(b, "room.1"), listen(b, "room.*")
	flush(t, b)
	hear.cancel()
	hear.cancel() // twice is no harm
	pattern.cancel()
	flush(t, b)
	publish(t, a, "room.1", "x")
	same.wait(t, 1)
	same.cancel()
	again := listen(b, "room.1")
	flush(t, b)
	publish(t, a, "room.1", "y")
	again.wait(t, 1)
	for i, h := range []*listener{hear, pattern} {
		if got := h.texts(); len(got) != 0 {
			t.Errorf("subscription %d got %q", i, got)
		}
	}
	if got := same.texts(); len(got) != 1 {
		t.Errorf("got %q", got)
	}
}

// An answer arrives where its request came from, by the way that it came.
func answers(t *testing.T, open Open) {
	a, b := open2(open)
	hear := listen(a, "inbox")
	b.Subscribe("ask", func(p *pb.HubPublish, via hubapi.Via) {
		err := b.Publish(&pb.HubPublish{Channel: p.Reply, Request: p.Request, Body: append([]byte("re: "), p.Body...)}, via)
		if err != nil {
			t.Error(err)
		}
	})
	flush(t, a)
	flush(t, b)
	if err := a.Publish(&pb.HubPublish{Channel: "ask", Body: []byte("what"), Reply: "inbox", Request: 12}, nil); err != nil {
		t.Fatal(err)
	}
	hear.wait(t, 1)
	if got := hear.messages()[0]; got.Request != 12 || string(got.Body) != "re: what" || got.From != "game#1@dev" || got.Nobody {
		t.Errorf("got %v", got)
	}
}

// A request that nobody has subscribed to is answered so, other messages are not.
func nobody(t *testing.T, open Open) {
	a, b := open2(open)
	hear := listen(a, "inbox")
	flush(t, a)
	publish(t, a, "ask", "no request")
	for _, request := range []uint64{1, 2} {
		if err := a.Publish(&pb.HubPublish{Channel: "ask", Reply: "inbox", Request: request}, nil); err != nil {
			t.Fatal(err)
		}
		hear.wait(t, 1)
		if got := hear.messages(); len(got) != 1 || !got[0].Nobody || got[0].Request != request {
			t.Errorf("got %v", got)
		}
		hear.forget()
	}
	other := listen(b, "ask")
	flush(t, b)
	if err := a.Publish(&pb.HubPublish{Channel: "ask", Reply: "inbox", Request: 3}, nil); err != nil {
		t.Fatal(err)
	}
	other.wait(t, 1)
	flush(t, a)
	if got := hear.messages(); len(got) != 0 {
		t.Errorf("somebody had subscribed, but came %v", got)
	}
}

// What is too large is refused, and harms nothing.
func tooLarge(t *testing.T, open Open) {
	a, b := open2(open)
	hear := listen(b, "news")
	flush(t, b)
	err := a.Publish(&pb.HubPublish{Channel: "news", Body: make([]byte, hubapi.MaxMessage)}, nil)
	if !errors.Is(err, cellnet.ErrFrameTooLarge) {
		t.Errorf("error %v", err)
	}
	large := bytes.Repeat([]byte{'x'}, hubapi.MaxMessage-100)
	if err := a.Publish(&pb.HubPublish{Channel: "news", Body: large}, nil); err != nil {
		t.Error(err)
	}
	hear.wait(t, 1)
	if got := hear.messages()[0]; !bytes.Equal(got.Body, large) {
		t.Errorf("%d bytes arrived", len(got.Body))
	}
}

// What is published at once, before anything stands, arrives.
func waits(t *testing.T, open Open) {
	b := open("game#1@dev", deaf())
	hear := listen(b, "news")
	flush(t, b)
	a := open("game#0@dev", deaf())
	for i := range 10 {
		publish(t, a, "news", fmt.Sprint(i))
	}
	hear.wait(t, 10)
	if got := strings.Join(hear.texts(), ","); !strings.HasPrefix(got, "game#0@dev news 0,game#0@dev news 1,") {
		t.Errorf("got %s", got)
	}
}

// Any goroutine may do anything at any time.
func allAtOnce(t *testing.T, open Open) {
	a, b := open2(open)
	hear := listen(b, "end")
	flush(t, b)
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for j := range 50 {
				h := listen(b, fmt.Sprint("room.", j))
				publish(t, a, fmt.Sprint("room.", j), "x")
				if i == 0 && j%10 == 0 {
					flush(t, a)
				}
				h.cancel()
			}
		})
	}
	all.Wait()
	publish(t, a, "end", "x")
	hear.wait(t, 1)
}
