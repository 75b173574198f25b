package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/agent/route"
	"github.com/davyxu/cellmesh_demo/util/cellnet"
	"github.com/davyxu/cellmesh_demo/util/discovery"
	"github.com/davyxu/cellmesh_demo/util/rarely"
)

// sink is a backend that counts what it gets.
type sink struct{ frames atomic.Int64 }

func (s *sink) Frame(link.Frame) error { s.frames.Add(1); return nil }
func (s *sink) Batch()                 {}
func (s *sink) Down(error)             {}

// bare is a gateway without a process around it, linked over TCP to one game
// that counts.
func bare(t testing.TB, rules ...route.Rule) (*Gateway, *sink) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	memory := discovery.NewMemory()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	parse := func(s string) link.Rule {
		rule, err := link.ParseRule("", s)
		if err != nil {
			t.Fatal(err)
		}
		return rule
	}
	links := map[string]*link.Links{}
	for name, addr := range map[string]string{"agent": "", "game": l.Addr().String()} {
		reg := memory.Open()
		t.Cleanup(func() { reg.Close() })
		lease, err := reg.Register(ctx, discovery.Service{Name: name, Group: "dev", Addr: addr, State: discovery.Ready})
		if err != nil {
			t.Fatal(err)
		}
		links[name] = link.New(link.Config{Self: lease.Service, Registry: reg, Rule: parse("dev"), Log: slog.New(slog.DiscardHandler)})
	}
	game := &sink{}
	links["game"].Receive("agent", func(*link.Link) link.Receiver { return game })
	links["agent"].Dial("game")
	running.Go(func() { links["game"].Serve(ctx, l) })
	for _, ls := range links {
		running.Go(func() { ls.Run(ctx) })
	}
	t.Cleanup(func() { cancel(); running.Wait() })

	table, err := route.New(rules)
	if err != nil {
		t.Fatal(err)
	}
	reg := memory.Open()
	t.Cleanup(func() { reg.Close() })
	g := &Gateway{
		hold: 10 * time.Second, verifyTimeout: time.Minute, maxViolations: 10, ctx: ctx, began: time.Now(), links: links["agent"], registry: reg,
		log: slog.New(slog.DiscardHandler), refusals: func(string) {}, closes: func(string) {}, refusalLog: rarely.New(), backendLog: rarely.New(),
		featuresField: featuresField(),
	}
	g.rules.table.Store(table)
	g.slots.init(100)
	for links["agent"].Named("game") == nil {
		<-links["agent"].Changed()
	}
	return g, game
}

// verified is a client of g whose session nobody reads.
func verified(t testing.TB, g *Gateway) *client {
	t.Helper()
	here, there := cellnet.Pipe(nil, nil)
	t.Cleanup(func() { here.Abort(nil); there.Abort(nil) })
	h, err := g.open(here)
	if err != nil {
		t.Fatal(err)
	}
	c := h.(*client)
	c.user.Store(&user{uid: "alice", epoch: 1})
	return c
}

var (
	echoRule   = route.Rule{Msg: "EchoREQ", ID: pb.EchoREQID, Service: "game", Access: route.Auth, MaxSize: 1000, Rate: 1e9}
	verifyRule = route.Rule{Msg: "VerifyREQ", ID: pb.VerifyREQID, Service: "game", Access: route.Pass, SvcIDField: 2}
)

// Route lookup, check and relay of one message cost no allocation, and neither
// does handing one back to its client.
func TestRelayAllocs(t *testing.T) {
	g, game := bare(t, echoRule, verifyRule)
	c := verified(t, g)
	echo := append([]byte{byte(pb.EchoREQID & 0xff), byte(pb.EchoREQID >> 8)}, make([]byte, 64)...)
	runs := 0
	relay := func(frame []byte) func() {
		return func() {
			runs++
			if err := c.Frame(frame); err != nil {
				t.Fatal(err)
			}
			c.Batch()
		}
	}
	relay(echo)() // chooses the game, makes a bucket
	if n := testing.AllocsPerRun(2000, relay(echo)); n != 0 {
		t.Errorf("relay of a message allocates %v times", n)
	}
	c.user.Store(nil)
	body, err := proto.Marshal(&pb.VerifyREQ{GameToken: "token", GameSvcId: "game#0@dev", Features: 1})
	if err != nil {
		t.Fatal(err)
	}
	verify := append([]byte{byte(pb.VerifyREQID & 0xff), byte(pb.VerifyREQID >> 8)}, body...)
	if n := testing.AllocsPerRun(2000, relay(verify)); n != 0 {
		t.Errorf("relay of a message that names its instance allocates %v times", n)
	}
	for deadline := time.Now().Add(20 * time.Second); game.frames.Load() != int64(runs); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the game got %d of %d messages", game.frames.Load(), runs)
		}
	}
}

func TestReturnAllocs(t *testing.T) {
	g, _ := bare(t, echoRule)
	a, b := tcpPair(t)
	session := cellnet.NewSession(a, nil)
	t.Cleanup(func() { session.Abort(nil) })
	h, err := g.open(session)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan int64)
	go func() { // ends with b
		n, buf := int64(0), make([]byte, 64<<10)
		for {
			m, err := b.Read(buf)
			if n += int64(m); err != nil {
				got <- n
				return
			}
		}
	}()
	back := &backend{g: g}
	f := link.Frame{Kind: link.ToClient, ID: pb.EchoACKID, Client: h.(*client).id, Body: make([]byte, 64)}
	n := testing.AllocsPerRun(2000, func() {
		if err := back.Frame(f); err != nil {
			t.Fatal(err)
		}
		back.Batch()
	})
	if n != 0 {
		t.Errorf("returning a message allocates %v times", n)
	}
	session.Close(nil)
	if n := <-got; n != 2001*68 {
		t.Errorf("the client got %d bytes, want %d", n, 2001*68)
	}
}

func tcpPair(t testing.TB) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if a, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

func BenchmarkRelay(b *testing.B) {
	g, _ := bare(b, route.Rule{Msg: "EchoREQ", ID: pb.EchoREQID, Service: "game", Access: route.Auth})
	c := verified(b, g)
	frame := append([]byte{byte(pb.EchoREQID & 0xff), byte(pb.EchoREQID >> 8)}, make([]byte, 64)...)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if err := c.Frame(frame); err != nil {
			b.Fatal(err)
		}
		if n%16 == 15 {
			c.Batch()
		}
	}
	c.Batch()
}

// A bucket gives burst at once, then rate, whatever the pace of asking; a new
// rule changes it at once.
func TestSpend(t *testing.T) {
	c := &client{}
	rule := &route.Rule{ID: 1, Rate: 10, Burst: 5}
	other := &route.Rule{ID: 2, Rate: 0.01}
	at := time.Duration(0)
	taken := func(rule *route.Rule, asks int, every time.Duration) (n int) {
		for range asks {
			if at += every; c.spend(rule, at) {
				n++
			}
		}
		return n
	}
	if n := taken(rule, 100, 0); n != 5 {
		t.Errorf("%d at once, want the burst of 5", n)
	}
	if n := taken(other, 100, 0); n != 1 {
		t.Errorf("%d at once without a burst, want 1", n)
	}
	if n := taken(rule, 1_000_000, 10*time.Microsecond); n < 99 || n > 100 { // sums of fractions
		t.Errorf("%d in 10 s of asking all the time, want 100", n)
	}
	if n := taken(other, 1_000_000, 200*time.Microsecond); n < 1 || n > 2 {
		t.Errorf("%d in 200 s at 0.01 a second, want 2", n)
	}
	if n := taken(rule, 100, 0); n != 5 {
		t.Errorf("%d at once after a pause, want the burst of 5", n)
	}
	at += time.Hour
	if n := taken(&route.Rule{ID: 1, Rate: 10, Burst: 2}, 100, 0); n != 2 {
		t.Errorf("%d at once under a new rule, want 2", n)
	}
	if len(c.buckets) != 2 {
		t.Errorf("%d buckets, want one for each message", len(c.buckets))
	}
}

// A number finds its client and nobody after it, whoever comes and goes.
func TestSlots(t *testing.T) {
	var s slots
	s.init(50)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			mine := []*client{}
			for range 10_000 {
				if c := new(client); rand.IntN(2) == 0 && s.add(c) {
					mine = append(mine, c)
				} else if n := len(mine); n > 0 {
					c, mine = mine[n-1], mine[:n-1]
					if s.get(c.id) != c {
						t.Error("a client is not found")
					}
					if s.remove(c); s.get(c.id) != nil {
						t.Error("a number outlives its client")
					}
				}
				s.each(func(*client) {})
			}
			for _, c := range mine {
				s.remove(c)
			}
		})
	}
	all.Wait()
	if s.count() != 0 {
		t.Errorf("%d clients are left", s.count())
	}
	for i := range 60 {
		if c := new(client); s.add(c) != (i < 50) {
			t.Fatalf("client %d: taken %v", i, i >= 50)
		}
	}
	for _, id := range []uint64{0, 1, 49, 50, 1 << 32, 1<<64 - 1} {
		if s.get(id) != nil {
			t.Errorf("number %d finds somebody", id)
		}
	}
}

// The scan for one field agrees with a decoder on what is protobuf, and does
// not stumble over what is not.
func FuzzVarintField(f *testing.F) {
	for _, m := range []proto.Message{&pb.VerifyREQ{}, &pb.VerifyREQ{GameToken: "t", GameSvcId: "game#0@dev", Features: 1}, &pb.VerifyREQ{Features: 1<<32 - 1}} {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(append(b, b...))
		f.Add(b[:len(b)/2])
	}
	f.Add([]byte("\x53\x53\x53\x54\x54\x54"))
	f.Fuzz(func(t *testing.T, body []byte) {
		var m pb.VerifyREQ
		got := uint32(varintField(body, featuresField()))
		if err := proto.Unmarshal(body, &m); err != nil {
			return
		}
		if m.Features != got && !hasGroup(m.ProtoReflect().GetUnknown()) {
			t.Errorf("features %d, a decoder says %d", got, m.Features)
		}
	})
}

// hasGroup reports whether there is a group among unknown fields: those we give
// up on.
func hasGroup(unknown []byte) bool {
	for _, b := range unknown {
		if b&7 == 3 {
			return true
		}
	}
	return false
}

func TestLabels(t *testing.T) {
	for want, reason := range map[string]error{
		"kicked":         kicked(pb.ResultCode_Kicked, "x"),
		"shutdown":       fmt.Errorf("closing: %w", context.Canceled),
		"verify_timeout": cellnet.ErrReadTimeout,
		"idle":           cellnet.ErrIdle,
		"slow_consumer":  fmt.Errorf("%w: 9 bytes", cellnet.ErrSlowConsumer),
		"bad_frame":      cellnet.ErrBadFrame,
		"other":          fmt.Errorf("something"),
	} {
		if got := label(reason); got != want {
			t.Errorf("%v: label %q, want %q", reason, got, want)
		}
	}
	for want, reason := range map[pb.ResultCode]error{
		pb.ResultCode_NoError:          fmt.Errorf("something"),
		pb.ResultCode_ShuttingDown:     context.Canceled,
		pb.ResultCode_VerifyTimeout:    cellnet.ErrReadTimeout,
		pb.ResultCode_HeartbeatTimeout: cellnet.ErrIdle,
		pb.ResultCode_SlowConsumer:     cellnet.ErrWriteTimeout,
		pb.ResultCode_ProtocolError:    fmt.Errorf("%w: 9 bytes", cellnet.ErrFrameTooLarge),
		pb.ResultCode_Kicked:           kicked(pb.ResultCode_Kicked, ""),
	} {
		if got := codeOf(reason); got != want {
			t.Errorf("%v: code %v, want %v", reason, got, want)
		}
	}
}
