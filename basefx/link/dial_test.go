package link

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/util/cellnet"
)

// flaky dials through the world's network, fails when told to, and remembers.
type flaky struct {
	w *world

	mu    sync.Mutex
	fail  bool
	when  []time.Time
	conns []net.Conn
}

func (f *flaky) dial(ctx context.Context, addr string) (net.Conn, error) {
	f.mu.Lock()
	f.when = append(f.when, time.Now())
	fail := f.fail
	f.mu.Unlock()
	if fail {
		return nil, errors.New("no route to host")
	}
	conn, err := f.w.dial(ctx, addr)
	if err == nil {
		f.mu.Lock()
		f.conns = append(f.conns, conn)
		f.mu.Unlock()
	}
	return conn, err
}

func (f *flaky) set(fail bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail, f.when = fail, nil
}

// cut closes every connection made so far.
func (f *flaky) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.conns {
		c.Close()
	}
	f.conns = nil
}

func (f *flaky) times() []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.when
}

// A link that was cut comes back at once; while it cannot, it is tried less and
// less often, at last every three seconds, and said once.
func TestReconnect(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		f := &flaky{w: w}
		g := w.start("game", setup{})
		a := w.start("agent", setup{dials: []string{"game"}, dial: f.dial})
		linked(t, a, g)
		time.Sleep(10 * time.Second)
		f.cut()
		time.Sleep(2 * firstRetry)
		linked(t, a, g)

		time.Sleep(10 * time.Second)
		f.set(true)
		f.cut()
		time.Sleep(time.Minute)
		notLinked(t, a, g)
		when := f.times()
		if n := len(when); n < 60/5 || n > 60 {
			t.Errorf("%d dials in a minute", n)
		}
		if first := when[1].Sub(when[0]); first > 3*firstRetry {
			t.Errorf("the second dial came after %v", first)
		}
		for i := range when[1:] {
			if gap := when[i+1].Sub(when[i]); gap < firstRetry/2 || gap > longestRetry*3/2 || i > 20 && gap < longestRetry/2 {
				t.Errorf("dial %d came after %v", i+1, gap)
			}
		}
		if lines := a.log.lines("no link", "no route to host"); len(lines) != 1 {
			t.Errorf("said %d times: %q", len(lines), lines)
		}
		f.set(false)
		time.Sleep(2 * longestRetry)
		linked(t, a, g)
	})
}

// A peer that closes every link at once is not dialed as fast as it closes.
func TestShortLivedLinksBackOff(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		f := &flaky{w: w}
		w.start("game", setup{wire: func(ls *Links) { ls.OnUp(func(l *Link) { l.Close(errors.New("not now")) }) }})
		w.start("agent", setup{dials: []string{"game"}, dial: f.dial})
		time.Sleep(time.Minute)
		if n := len(f.times()); n > 60 {
			t.Errorf("%d dials in a minute", n)
		}
	})
}

// A service that moves to another address is followed, and one that has left
// is not dialed any more.
func TestServiceMoves(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		f := &flaky{w: w}
		a := w.start("agent", setup{dials: []string{"game"}, dial: f.dial})
		g := w.start("game", setup{addr: "memory:100"})
		linked(t, a, g)
		g.stop()
		g = w.start("game", setup{addr: "memory:200"})
		time.Sleep(time.Second)
		linked(t, a, g)
		ctx, end := context.WithCancel(context.Background())
		g.listen(ctx, "memory:300") // the same process at another address
		a.Get(g.id()).Close(nil)
		time.Sleep(2 * longestRetry)
		linked(t, a, g)
		end()
		g.stop()
		synctest.Wait()
		f.set(false)
		time.Sleep(time.Minute)
		if n := len(f.times()); n > 1 { // one may have been under way
			t.Errorf("dialed %d times though nobody is there", n)
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		if len(a.dialing) != 0 {
			t.Errorf("dial loops are left: %v", a.dialing)
		}
	})
}

// A peer that hangs: it has taken the link and what it was sent, and says
// nothing. Its link ends, and messages are refused instead of held.
func TestSilentPeer(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		hub := w.start("hub", setup{})
		s, err := w.establish(hub, "game#5@dev", 1)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		l := hub.Get("game#5@dev")
		time.Sleep(11 * time.Second)
		if _, err := l.Append(ToAll, 0, 1, nil); err != nil {
			t.Errorf("after 11 s: %v", err)
		}
		time.Sleep(5 * time.Second)
		if _, err := l.Append(ToAll, 0, 1, nil); !errors.Is(err, cellnet.ErrClosed) {
			t.Errorf("after 16 s: %v", err)
		}
		synctest.Wait()
		if l.Ended() != ErrSilent || hub.Get("game#5@dev") != nil {
			t.Errorf("ended with %v", l.Ended())
		}
		s.over()
		pulses := 0
		for len(s.frames) > 0 {
			if f, err := parseFrame(<-s.frames); err == nil && f.Kind == Control && f.ID == pulseID {
				pulses++
			}
		}
		if pulses < silentPulses-1 {
			t.Errorf("only %d pulses", pulses)
		}
	})
}

// No message has the ID of the pulse.
func TestPulseID(t *testing.T) {
	if name := pb.MessageName(pulseID); name != "" {
		t.Errorf("message %s has the ID of the pulse: give it another with option (msg_id)", name)
	}
}

// Two that have nothing to say stay linked.
func TestQuietLinkStands(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		g := w.start("game", setup{})
		a := w.start("agent", setup{dials: []string{"game"}})
		linked(t, a, g)
		l := a.Get(g.id())
		time.Sleep(time.Hour)
		linked(t, a, g)
		if a.Get(g.id()) != l {
			t.Error("it is another link by now")
		}
	})
}

// While a handler is busy with what the peer has said, the silence is ours.
func TestBusyHandlerIsNotSilence(t *testing.T) {
	l := discarding(t)
	l.receiver = countFrames{}
	var head [headLen]byte
	putHead(&head, ToClient, 7, 9)
	if err := l.frame(head[:]); err != nil {
		t.Fatal(err)
	}
	for range 10 * silentPulses { // the batch is not over
		if l.isSilent() {
			t.Fatal("silent")
		}
	}
	l.batch()
	for range silentPulses {
		if l.isSilent() {
			t.Fatal("silent too early")
		}
	}
	if !l.isSilent() {
		t.Error("not silent")
	}
}

// A peer that does not read: relayed messages are refused and the link lives;
// a control message cannot be refused, so it ends the link.
func TestPeerThatDoesNotRead(t *testing.T) {
	ls := New(Config{})
	ls.session.MaxPending = 10_000
	s := deadEnd(ls)
	defer s.Abort(nil)
	l := &Link{ID: "game#0@dev", links: ls, session: s}
	body := make([]byte, 1000)
	taken := 0
	var err error
	for ; err == nil && taken < 100; taken++ {
		_, err = l.Append(ToClient, 1, 2, body)
	}
	if !errors.Is(err, cellnet.ErrFull) || taken > 10 {
		t.Errorf("the last of %d: %v", taken, err)
	}
	if l.Ended() != nil {
		t.Errorf("ended: %v", l.Ended())
	}
	big := &pb.NoticeREQ{Text: string(body)}
	if proto.Size(big) < len(body) {
		t.Fatal("not big")
	}
	if err := l.Send(0, big); err != ErrBehind || l.Ended() != ErrBehind {
		t.Errorf("a control message: %v, the link: %v", err, l.Ended())
	}
}
