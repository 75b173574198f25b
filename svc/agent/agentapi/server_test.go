package agentapi_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/agent/agentapi"
	"github.com/davyxu/cellmesh_demo/tool/cluster"
	"github.com/davyxu/cellmesh_demo/util/mailbox"
	"github.com/davyxu/cellmesh_demo/util/msgmux"
)

// The messages of one client are handled and answered in order, one at a time,
// some of them slowly.
func TestOrder(t *testing.T) {
	type state struct {
		mu    sync.Mutex
		count int
	}
	b := start(t, &backend{message: func(c *agentapi.Client, id uint16, body []byte) (msgmux.Message, error) {
		if c.Data == nil {
			c.Data = &state{}
		}
		s := c.Data.(*state)
		if !s.mu.TryLock() {
			return nil, errors.New("two messages of one client at once")
		}
		defer s.mu.Unlock()
		if s.count++; s.count%100 == 17 {
			time.Sleep(30 * time.Millisecond) // a handler may block
		}
		return echo(c, id, body)
	}})
	a := b.agent(t, 0)
	const clients, messages = 20, 300
	for n := range messages {
		for i := range clients {
			a.send(t, number(1, i), content("%d", n))
		}
		if n%7 == 0 {
			a.flush()
		}
	}
	a.flush()
	next := map[uint64]int{}
	for range clients * messages {
		got := a.next(t)
		if want := encode(t, answer("%d", next[got.client])); got.id != pb.EchoACKID || got.body != want {
			t.Fatalf("%v, want answer %d", got, next[got.client])
		}
		next[got.client]++
	}
}

// Handlers of different clients run at once, even when all of them block.
func TestParallel(t *testing.T) {
	const clients = 50
	var inside sync.WaitGroup
	inside.Add(clients)
	b := start(t, &backend{message: func(c *agentapi.Client, id uint16, body []byte) (msgmux.Message, error) {
		inside.Done()
		inside.Wait() // until all are
		return echo(c, id, body)
	}})
	a := b.agent(t, 0)
	for i := range clients {
		a.send(t, number(1, i), content("%d", i))
	}
	a.flush()
	for range clients {
		got := a.next(t)
		if want := encode(t, answer("%d", got.client&0xffff)); got.body != want {
			t.Fatalf("got %v", got)
		}
	}
}

// blocker is a backend whose handler blocks on "block" until it is released.
func blocker(t *testing.T) (b *backend, entered, release chan struct{}) {
	entered, release = make(chan struct{}, 100), make(chan struct{})
	b = start(t, &backend{message: func(c *agentapi.Client, id uint16, body []byte) (msgmux.Message, error) {
		if strings.Contains(string(body), "block") {
			entered <- struct{}{}
			<-release
		}
		return echo(c, id, body)
	}})
	return b, entered, release
}

// A handler that blocks holds up its own client and nobody else: not those whose
// messages or answers share a read or a write with its, nor what is pushed or
// decided elsewhere. When it is done, its client goes on.
func TestBlockingHandler(t *testing.T) {
	b, entered, release := blocker(t)
	a := b.agent(t, 0)
	other := number(1, 1)
	a.control(t, other, &pb.ClientOpen{Uid: "other"})
	const rounds = 3 // the first blocks who reads the link, the others a mailbox
	for round := range rounds {
		blocked := number(1, 10+round)
		a.send(t, other, content("before"))
		a.send(t, blocked, content("block"), content("next"))
		a.send(t, other, content("after"))
		a.flush()
		<-entered
		a.want(t, link.ToClient, other, answer("before"))
		a.want(t, link.ToClient, other, answer("after"))
		if err := b.srv.Broadcast(&pb.ChatACK{Content: "all"}); err != nil {
			t.Fatal(err)
		}
		a.want(t, link.ToAll, 0, &pb.ChatACK{Content: "all"})
	}
	// What a mailbox has answered is written with what comes next, whoever sends
	// that, also while the mailbox is stuck.
	mixed := number(1, 20)
	a.send(t, mixed, content("quick"), content("block"))
	a.flush()
	<-entered
	if err := b.srv.Broadcast(&pb.ChatACK{Content: "all"}); err != nil {
		t.Fatal(err)
	}
	a.want(t, link.ToClient, mixed, answer("quick"))
	a.want(t, link.ToAll, 0, &pb.ChatACK{Content: "all"})

	close(release)
	left := map[uint64][]string{mixed: {encode(t, answer("block"))}}
	for round := range rounds {
		left[number(1, 10+round)] = []string{encode(t, answer("block")), encode(t, answer("next"))}
	}
	for len(left) > 0 {
		got := a.next(t)
		if want := left[got.client]; len(want) == 0 || got.body != want[0] {
			t.Fatalf("got %v, want one of %v", got, left)
		}
		if left[got.client] = left[got.client][1:]; len(left[got.client]) == 0 {
			delete(left, got.client)
		}
	}
}

// What a handler refuses, what it fails on, what does not parse and what it
// panics on costs one message, is told to those who understand, and counted.
func TestFailures(t *testing.T) {
	b := start(t, &backend{
		opened: func(c *agentapi.Client) error {
			if c.Who().UID == "unlucky" {
				panic("opened")
			}
			return nil
		},
		message: func(c *agentapi.Client, id uint16, body []byte) (msgmux.Message, error) {
			switch {
			case strings.Contains(string(body), "refuse"):
				return nil, msgmux.Refuse(pb.ResultCode_AlreadyVerified, "no, %s", c.Who().UID)
			case strings.Contains(string(body), "fail"):
				return nil, errors.New("out of order")
			case strings.Contains(string(body), "panic"):
				panic("at the disco")
			case strings.Contains(string(body), "huge"):
				return &pb.EchoACK{Content: make([]byte, agentapi.MaxBody)}, nil
			}
			return echo(c, id, body)
		},
		closed: func(*agentapi.Client, string) { panic("closed") },
	})
	a := b.agent(t, 0)
	knows, old := number(1, 0), number(1, 1)
	a.control(t, knows, &pb.ClientOpen{Uid: "unlucky", Epoch: 7, Features: uint32(pb.VerifyREQ_Reject)})
	a.control(t, old, &pb.ClientOpen{Uid: "old"})
	for _, client := range []uint64{old, knows} {
		for _, test := range []struct {
			content string
			code    pb.ResultCode
		}{
			{"refuse", pb.ResultCode_AlreadyVerified},
			{"fail", pb.ResultCode_InternalError},
			{"panic", pb.ResultCode_InternalError},
			{"huge", pb.ResultCode_InternalError},
		} {
			a.send(t, client, content("%s", test.content), content("next"))
			a.flush()
			if client == knows {
				a.wantReject(t, client, pb.EchoREQID, test.code)
			}
			a.want(t, link.ToClient, client, answer("next"))
		}
		if _, err := a.link().Append(link.ToClient, client, pb.EchoREQID, []byte("not protobuf")); err != nil {
			t.Fatal(err)
		}
		a.flush()
		if client == knows {
			a.wantReject(t, client, pb.EchoREQID, pb.ResultCode_BadRequest)
		}
		a.control(t, client, &pb.ClientClosed{Reason: "left"})
	}
	cluster.Eventually(t, "both are gone", func() bool { return b.srv.Clients() == 0 })
	for name, want := range map[string]float64{"refused": 4, "failed": 9, "panicked": 5} {
		if got := b.Metric(t, "backend_messages_"+name+"_total"); got != want {
			t.Errorf("%s: %v counted, want %v", name, got, want)
		}
	}
	for _, want := range []string{"out of order", "at the disco", "server_test.go", "message=ClientOpen uid=unlucky", "a client frame holds at most 65533"} {
		if !strings.Contains(b.Log(), want) {
			t.Errorf("the log does not have %q", want)
		}
	}
}

// A client that makes its handler fail all the time does not fill the log.
func TestLogIsBounded(t *testing.T) {
	b := start(t, &backend{message: func(*agentapi.Client, uint16, []byte) (msgmux.Message, error) {
		panic("again")
	}})
	a := b.agent(t, 0)
	for range 1000 {
		a.send(t, number(1, 0), content("x"))
		a.flush()
	}
	cluster.Eventually(t, "all have failed", func() bool { return b.Metric(t, "backend_messages_panicked_total") == 1000 })
	if n := strings.Count(b.Log(), "message failed"); n < 10 || n > 200 {
		t.Errorf("%d lines in the log for 1000 failures", n)
	}
}

// What one client lets wait is bounded in messages and in bytes; the rest is
// refused, and what waited is handled in order. Others are not refused.
func TestTooMuchWaits(t *testing.T) {
	for name, test := range map[string]struct {
		size, sent, least, most int
	}{
		"messages": {4, 3000, 1000, 1100},
		"bytes":    {60_000, 60, 16, 18},
	} {
		t.Run(name, func(t *testing.T) {
			b, entered, release := blocker(t)
			a := b.agent(t, 0)
			slow, other := number(1, 0), number(1, 1)
			for _, client := range []uint64{slow, other} {
				a.control(t, client, &pb.ClientOpen{Uid: fmt.Sprint(client), Features: uint32(pb.VerifyREQ_Reject)})
			}
			a.send(t, slow, content("block"))
			a.flush()
			<-entered
			pad := strings.Repeat("x", test.size-4)
			for i := range test.sent {
				a.send(t, slow, content("%04d%s", i, pad))
			}
			a.send(t, other, content("other"))
			a.flush()
			refused := 0
			for got := a.next(t); got.client == slow; got = a.next(t) {
				var m pb.RejectACK
				if err := proto.Unmarshal([]byte(got.body), &m); err != nil || got.id != pb.RejectACKID || m.Code != pb.ResultCode_ServiceBusy {
					t.Fatalf("got %v %v", got, &m)
				}
				refused++
			}
			if waits := test.sent - refused; waits < test.least || waits > test.most {
				t.Errorf("%d of %d were taken, want %d to %d", waits, test.sent, test.least, test.most)
			}
			close(release)
			a.want(t, link.ToClient, slow, answer("block"))
			for i := range test.sent - refused {
				a.want(t, link.ToClient, slow, answer("%04d%s", i, pad))
			}
			if got := b.Metric(t, "backend_messages_busy_total"); got != float64(refused) {
				t.Errorf("%v counted, want %d", got, refused)
			}
		})
	}
}

// An agent that goes away takes its clients with it, in the middle of whatever
// they do; those of another agent stay.
func TestAgentGone(t *testing.T) {
	b, entered, release := blocker(t)
	var mu sync.Mutex
	gone := map[string]string{}
	b.closed = func(c *agentapi.Client, reason string) {
		mu.Lock()
		defer mu.Unlock()
		if _, twice := gone[c.Who().UID]; twice {
			t.Errorf("%s was closed twice", c.Who().UID)
		}
		gone[c.Who().UID] = reason
	}
	first, second := b.agent(t, 0), b.agent(t, 1)
	for i := range 10 {
		first.control(t, number(1, i), &pb.ClientOpen{Uid: fmt.Sprint("first", i)})
		second.control(t, number(1, i), &pb.ClientOpen{Uid: fmt.Sprint("second", i)})
	}
	first.send(t, number(1, 3), content("block"), content("two"))
	first.flush()
	<-entered
	cluster.Eventually(t, "20 clients", func() bool { return b.srv.Clients() == 20 })
	first.stop()
	cluster.Eventually(t, "all but the one at work are gone", func() bool { return b.srv.Clients() == 11 })
	close(release)
	cluster.Eventually(t, "that one too", func() bool { return b.srv.Clients() == 10 })
	mu.Lock()
	for i := range 10 {
		if reason := gone[fmt.Sprint("first", i)]; !strings.HasPrefix(reason, "agent agent#0@dev: ") {
			t.Errorf("first%d was closed with %q", i, reason)
		}
	}
	mu.Unlock()
	second.send(t, number(1, 0), content("still here"))
	second.flush()
	second.want(t, link.ToClient, number(1, 0), answer("still here"))
	again := b.agent(t, 0)
	again.send(t, number(1, 3), content("new")) // same number, another client
	again.flush()
	again.want(t, link.ToClient, number(1, 3), answer("new"))
}

// The calls for one client: Opened when it is introduced, its messages, Closed;
// a number that is given to another client ends the one before.
func TestLife(t *testing.T) {
	var mu sync.Mutex
	var events []string
	note := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		events = append(events, fmt.Sprintf(format, args...))
	}
	b := start(t, &backend{
		opened: func(c *agentapi.Client) error { note("opened %v", c.Who()); return nil },
		message: func(c *agentapi.Client, id uint16, body []byte) (msgmux.Message, error) {
			note("message of %q, %v", c.Who().UID, c.Verified())
			return echo(c, id, body)
		},
		closed: func(c *agentapi.Client, reason string) { note("closed %q: %s", c.Who().UID, reason) },
	})
	a := b.agent(t, 0)
	id := number(1, 5)
	say := func() {
		t.Helper()
		a.send(t, id, content("x"))
		a.flush()
		a.want(t, link.ToClient, id, answer("x"))
	}
	a.control(t, id, &pb.ClientOpen{}) // knows nothing yet
	say()
	a.control(t, id, &pb.ClientOpen{Uid: "alice", Epoch: 3, Features: 1, Name: "Al"})
	say()
	a.control(t, number(9, 5), &pb.ClientClosed{}) // somebody else
	a.control(t, number(1, 4_000_000), &pb.ClientClosed{})
	say()
	a.control(t, id, &pb.ClientClosed{Reason: "left"})
	id = number(2, 5)
	say()
	a.control(t, number(3, 5), &pb.ClientOpen{Uid: "bob"})
	cluster.Eventually(t, "bob is there", func() bool {
		mu.Lock()
		defer mu.Unlock()
		want := []string{
			`message of "", false`, `opened {alice 3 1 Al}`, `message of "alice", true`, `message of "alice", true`, `closed "alice": left`,
			`message of "", false`, `closed "": its place was given to another client`, `opened {bob 0 0 }`,
		}
		slices.Sort(want[4:]) // of different clients
		got := slices.Clone(events)
		if len(got) == len(want) {
			slices.Sort(got[4:])
		}
		return slices.Equal(got, want)
	})
}

// A number that no agent gives ends the link, not the backend.
func TestNumbersAreBounded(t *testing.T) {
	b := start(t, &backend{message: echo})
	a := b.agent(t, 0)
	a.send(t, 1<<32-1, content("x"))
	a.flush()
	cluster.Eventually(t, "the link has ended", func() bool { return strings.Contains(b.Log(), "numbers a client 4294967295") })
	cluster.Eventually(t, "there is a new one", func() bool { return a.link() != nil && a.link().Ended() == nil })
}

// Binding a client and answering it leave in one write.
func TestBindIsNoWriteOfItsOwn(t *testing.T) {
	b := start(t, &backend{message: func(c *agentapi.Client, _ uint16, _ []byte) (msgmux.Message, error) {
		if err := c.Bind(agentapi.Identity{UID: "alice", Epoch: 1}); err != nil {
			return nil, err
		}
		return &pb.VerifyACK{}, nil
	}})
	a := b.agent(t, 0)
	const logins = 50
	before := b.Metric(t, `session_writes_total{kind="link"}`)
	for i := range logins {
		a.send(t, number(1, i), &pb.VerifyREQ{})
		a.flush()
		a.want(t, link.Control, number(1, i), &pb.BindBackendACK{Uid: "alice", Epoch: 1})
		a.want(t, link.ToClient, number(1, i), &pb.VerifyACK{})
	}
	after := b.Metric(t, `session_writes_total{kind="link"}`)
	if n := after - before; n > logins+10 { // a pulse now and then
		t.Errorf("%v writes for %d logins", n, logins)
	}
}

// What is pushed is one frame for each agent; what cannot be is an error.
func TestPushIsOneFrame(t *testing.T) {
	clients := make(chan *agentapi.Client, 10)
	b := start(t, &backend{opened: func(c *agentapi.Client) error { clients <- c; return nil }})
	a := b.agent(t, 0)
	var all []*agentapi.Client
	for i := range 3 {
		a.control(t, number(1, i), &pb.ClientOpen{Uid: fmt.Sprint(i)})
		all = append(all, <-clients)
	}
	line := &pb.ChatACK{Content: "hello"}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	check(b.srv.Broadcast(line))
	a.want(t, link.ToAll, 0, line)
	check(b.srv.SendTo(all, line))
	list, rest, ok := link.CutList([]byte(a.next(t).body))
	if !ok || list.Len() != 3 || string(rest) != encode(t, line) {
		t.Errorf("to a list: %v %q", list, rest)
	}
	check(b.srv.SendTo(nil, line)) // nothing to send
	check(b.srv.SendGroup("guild", line))
	group, rest, ok := link.CutGroup([]byte(a.next(t).body))
	if !ok || string(group) != "guild" || string(rest) != encode(t, line) {
		t.Errorf("to a group: %q %q", group, rest)
	}
	check(all[1].Join("guild"))
	a.want(t, link.Control, number(1, 1), &pb.ClientJoin{Group: "guild"})
	check(all[1].Leave("guild"))
	a.want(t, link.Control, number(1, 1), &pb.ClientLeave{Group: "guild"})
	check(all[1].Kick(pb.ResultCode_Kicked, "why"))
	a.want(t, link.Control, number(1, 1), &pb.ClientKick{Code: pb.ResultCode_Kicked, Reason: "why"})
	check(all[2].Send(line))
	a.want(t, link.ToClient, number(1, 2), line)

	huge := &pb.ChatACK{Content: strings.Repeat("x", agentapi.MaxBody)}
	for name, err := range map[string]error{
		"group without a name": b.srv.SendGroup("", line),
		"long name":            all[0].Join(strings.Repeat("x", 256)),
		"huge broadcast":       b.srv.Broadcast(huge),
		"huge list":            b.srv.SendTo(all, huge),
		"huge to one":          all[0].Send(huge),
		"no UTF-8":             all[0].Send(&pb.ChatACK{Content: "\xff"}),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	a.stop()
	cluster.Eventually(t, "the link has ended", func() bool { return b.srv.Clients() == 0 })
	if err := all[0].Send(line); err == nil {
		t.Error("sending to a client whose agent is gone is no error")
	}
	if got := b.Metric(t, "backend_messages_lost_total"); got != 1 {
		t.Errorf("%v messages lost, want 1", got)
	}
}

// Check names every message without a handler and every handler too much.
func TestCheck(t *testing.T) {
	err := agentapi.Check("game")
	if err == nil || !strings.Contains(err.Error(), "message VerifyREQ") || !strings.Contains(err.Error(), "message EchoREQ") {
		t.Errorf("no handlers: %v", err)
	}
}

// What is to be done in a client's turn runs after what came before, never beside
// its handlers; a panic there is counted; what comes too late is refused.
func TestDo(t *testing.T) {
	var did []string // owned by the client's turn
	entered, leave := make(chan *agentapi.Client), make(chan struct{})
	over := make(chan []string, 1)
	b := start(t, &backend{
		message: func(c *agentapi.Client, id uint16, body []byte) (msgmux.Message, error) {
			if len(did) == 0 {
				entered <- c
				<-leave
			}
			did = append(did, "message")
			return echo(c, id, body)
		},
		closed: func(*agentapi.Client, string) { over <- did },
	})
	a := b.agent(t, 0)
	client := number(1, 0)
	a.send(t, client, content("a"))
	a.flush()
	c := <-entered
	for _, err := range []error{
		c.Do(func(context.Context) { did = append(did, "one") }),
		c.Do(func(context.Context) { panic("in its turn") }),
		c.Do(func(context.Context) { did = append(did, "two") }),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	a.send(t, client, content("b"))
	a.control(t, client, &pb.ClientClosed{})
	a.flush()
	close(leave)
	if got := <-over; !slices.Equal(got, []string{"message", "one", "two", "message"}) {
		t.Errorf("done was %v", got)
	}
	if err := c.Do(func(context.Context) {}); !errors.Is(err, mailbox.ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
	if n := b.Metric(t, "backend_messages_panicked_total"); n != 1 {
		t.Errorf("%v panics", n)
	}
}
