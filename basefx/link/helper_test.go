package link

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/util/cellnet"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// world is a network and a discovery in memory, inside one synctest bubble.
type world struct {
	t      *testing.T
	net    cellnet.MemoryNetwork
	memory *discovery.Memory
}

// inWorld runs f in a bubble: time passes only when everybody waits, and
// nobody may be left at the end.
func inWorld(t *testing.T, f func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		f(t, &world{t: t, memory: discovery.NewMemory()})
	})
}

// node is one process of the world.
type node struct {
	*Links
	t     *testing.T
	w     *world
	reg   discovery.Registry
	lease discovery.Lease
	log   logBuffer
	ups   []string // peers, in the order they were linked; read it after synctest.Wait

	end   context.CancelFunc
	ended sync.WaitGroup
}

// setup is how a node differs from the usual one.
type setup struct {
	index  int
	group  string
	rule   string
	secret string
	dials  []string
	addr   string                                          // to listen at; "" for any
	silent bool                                            // does not listen
	dial   func(context.Context, string) (net.Conn, error) // in place of the world's
	wire   func(*Links)
}

// start registers a node and lets it run until the test ends, or stop.
func (w *world) start(name string, s setup) *node {
	w.t.Helper()
	if s.group == "" {
		s.group = "dev"
	}
	n := &node{t: w.t, w: w, reg: w.memory.Open()}
	lease, err := n.reg.Register(w.t.Context(), discovery.Service{Name: name, Index: s.index, Group: s.group, State: discovery.Starting})
	if err != nil {
		w.t.Fatal(err)
	}
	n.lease = lease
	rule, err := ParseRule(s.rule, s.group)
	if err != nil {
		w.t.Fatal(err)
	}
	if s.dial == nil {
		s.dial = w.dial
	}
	n.Links = New(Config{
		Self: lease.Service, Registry: n.reg, Rule: rule, Secret: s.secret, Dial: s.dial,
		Log: slog.New(slog.NewTextHandler(&n.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	var mu sync.Mutex
	n.OnUp(func(l *Link) {
		mu.Lock()
		defer mu.Unlock()
		n.ups = append(n.ups, l.ID)
	})
	if s.wire != nil {
		s.wire(n.Links)
	}
	for _, d := range s.dials {
		n.Dial(d)
	}
	ctx, end := context.WithCancel(context.Background())
	n.end = end
	if !s.silent {
		n.listen(ctx, s.addr)
	}
	n.ended.Go(func() { n.Run(ctx) })
	w.t.Cleanup(n.stop)
	return n
}

// listen serves links and announces where.
func (n *node) listen(ctx context.Context, addr string) {
	l, err := n.w.net.Listen(addr)
	if err != nil {
		n.t.Fatal(err)
	}
	n.ended.Go(func() { n.Serve(ctx, l) })
	n.announce(l.Addr().String())
}

func (n *node) announce(addr string) {
	if err := n.lease.Update(n.t.Context(), func(s *discovery.Service) { s.Addr = addr }); err != nil {
		n.t.Fatal(err)
	}
}

// stop ends the node and its registration.
func (n *node) stop() {
	n.end()
	n.ended.Wait()
	n.reg.Close()
}

func (n *node) id() string { return n.lease.Service().ID }

func (w *world) dial(ctx context.Context, addr string) (net.Conn, error) {
	return w.net.Dial(ctx, "memory", addr)
}

// linked fails the test if a and b are not linked to each other, each knowing
// exactly who the other is.
func linked(t *testing.T, a, b *node) {
	t.Helper()
	synctest.Wait()
	for _, pair := range [2][2]*node{{a, b}, {b, a}} {
		self, peer := pair[0], pair[1].lease.Service()
		l := self.Get(peer.ID)
		if l == nil {
			t.Fatalf("%s has no link to %s; its log:\n%s", self.id(), peer.ID, self.log.String())
		}
		if l.Name != peer.Name || l.Group != peer.Group || l.Index != peer.Index || l.Epoch != peer.Epoch {
			t.Fatalf("%s knows %s as %+v", self.id(), peer.ID, l)
		}
		if err := l.Ended(); err != nil {
			t.Fatalf("%s: the link to %s has ended: %v", self.id(), peer.ID, err)
		}
	}
}

func notLinked(t *testing.T, a, b *node) {
	t.Helper()
	synctest.Wait()
	if a.Get(b.id()) != nil || b.Get(a.id()) != nil {
		t.Fatalf("%s and %s are linked", a.id(), b.id())
	}
}

// logBuffer is a log that can be read while it is written.
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

// lines are the lines that contain all words.
func (b *logBuffer) lines(words ...string) (found []string) {
next:
	for line := range strings.Lines(b.String()) {
		for _, w := range words {
			if !strings.Contains(line, w) {
				continue next
			}
		}
		found = append(found, line)
	}
	return found
}

// stranger is a peer that does by hand what a test tells it to.
type stranger struct {
	t       *testing.T
	session *cellnet.Session
	frames  chan []byte
	ended   chan error
}

// meet connects a stranger to addr.
func (w *world) meet(addr string) *stranger {
	w.t.Helper()
	conn, err := w.dial(w.t.Context(), addr)
	if err != nil {
		w.t.Fatal(err)
	}
	return newStranger(w.t, conn)
}

func newStranger(t *testing.T, conn net.Conn) *stranger {
	cfg := &cellnet.Config{Framing: cellnet.LinkFraming}
	s := &stranger{t: t, session: cellnet.NewSession(conn, cfg), frames: make(chan []byte, 1000), ended: make(chan error, 1)}
	go func() { s.ended <- s.session.Run(context.Background(), s) }()
	t.Cleanup(func() {
		s.session.Abort(nil)
		<-s.ended
	})
	return s
}

func (s *stranger) Frame(b []byte) error {
	s.frames <- bytes.Clone(b)
	return nil
}
func (s *stranger) Batch()       {}
func (s *stranger) Closed(error) {}

func (s *stranger) send(m pb.Message) {
	s.t.Helper()
	if err := sendControl(s.session, 0, m); err != nil {
		s.t.Fatal(err)
	}
}

// receive reads the next message into m.
func (s *stranger) receive(m pb.Message) {
	s.t.Helper()
	var b []byte
	select {
	case b = <-s.frames:
	case err := <-s.ended:
		s.ended <- err
		select { // what came before the end comes first
		case b = <-s.frames:
		default:
			s.t.Fatalf("closed instead of %s: %v", pb.MessageName(m.MsgID()), err)
		}
	}
	f, err := parseFrame(b)
	if err != nil {
		s.t.Fatal(err)
	}
	if f.Kind != Control || f.ID != m.MsgID() {
		s.t.Fatalf("received kind %d, message ID %d (%s), want %s", f.Kind, f.ID, pb.MessageName(f.ID), pb.MessageName(m.MsgID()))
	}
	if err := proto.Unmarshal(f.Body, m); err != nil {
		s.t.Fatal(err)
	}
}

// over waits until the other side has closed the connection.
func (s *stranger) over() error {
	err := <-s.ended
	s.ended <- err
	return err
}
