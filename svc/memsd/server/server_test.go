package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/davyxu/cellmesh_demo/util/cellnet"
	"github.com/davyxu/cellmesh_demo/util/discovery"
	"github.com/davyxu/cellmesh_demo/util/discovery/contract"
	"github.com/davyxu/cellmesh_demo/util/discovery/wire"
	"github.com/davyxu/cellmesh_demo/util/peerauth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestContract(t *testing.T) {
	contract.Run(t, func(t *testing.T) contract.Open {
		s := start(t, "", Options{File: filepath.Join(t.TempDir(), "persist.json"), Log: slog.New(slog.DiscardHandler)})
		return func() discovery.Registry { return discovery.Dial(context.Background(), s.addr, discovery.Options{}) }
	})
}

func TestSecret(t *testing.T) {
	open, closed := start(t, "", Options{}), start(t, "", Options{Secret: "correct horse"})
	right := dial(t, closed.addr, discovery.Options{Secret: "correct horse"})
	if err := discovery.Set(within(t), right, "k", "v"); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]*discovery.Client{
		"wrong secret":           dial(t, closed.addr, discovery.Options{Secret: "wrong"}),
		"no secret":              dial(t, closed.addr, discovery.Options{}),
		"secret for open server": dial(t, open.addr, discovery.Options{Secret: "correct horse"}),
	} {
		var err, down error
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); { // before it is refused, and between two tries, other things may be wrong
			ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
			err, down = discovery.Set(ctx, c, "k", "stolen"), c.Connected()
			cancel()
			if !errors.Is(err, discovery.ErrUnavailable) || strings.Contains(err.Error(), "secret") && errors.Is(down, discovery.ErrRefused) {
				break
			}
		}
		if !errors.Is(err, discovery.ErrUnavailable) || !strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v; want it to speak of the secret", name, err)
		}
		if !errors.Is(down, discovery.ErrRefused) {
			t.Errorf("%s: %v; want ErrRefused", name, down)
		}
		if c.Snapshot().Revision() != 0 {
			t.Errorf("%s: it has seen the state", name)
		}
	}
	if v, _ := right.Snapshot().Value("k"); v != "v" {
		t.Errorf("value is %q", v)
	}

	t.Run("NothingBeforeProof", func(t *testing.T) {
		for _, do := range []wire.Do{wire.DoPage, wire.DoStatus, wire.DoWatch, wire.DoApply, wire.DoForget, wire.DoPing} {
			for _, hello := range []bool{false, true} {
				r := rawDial(t, closed.addr, &cellnet.Config{})
				if hello {
					r.hello(time.Second)
				}
				if m, ok := r.ask(wire.Request{Do: do}); ok && m.Error == nil {
					t.Errorf("%s before the proof (hello %v) is answered with %+v", do, hello, m)
				}
			}
		}
	})
	t.Run("ReplayedProof", func(t *testing.T) {
		nonce := peerauth.NewNonce()
		proofs := make(map[string]bool)
		for range 2 { // the same client nonce twice: what proves the one must not prove the other
			r := rawDial(t, closed.addr, &cellnet.Config{})
			m, _ := r.ask(wire.Request{Do: wire.DoHello, Hello: &wire.Hello{Version: wire.Version, Nonce: nonce}})
			proof := peerauth.Proof("correct horse", wire.RoleClient, nonce, m.Welcome.Nonce)
			if proofs[string(proof)] {
				t.Fatal("memsd used a nonce twice")
			}
			for old := range proofs {
				if m, ok := r.ask(wire.Request{Do: wire.DoProof, Proof: []byte(old)}); ok && m.Error == nil {
					t.Fatal("a proof of another connection is accepted")
				}
			}
			proofs[string(proof)] = true
		}
	})
}

// TestImpostor: who answers for memsd without knowing the secret is not believed, and learns nothing to use.
func TestImpostor(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := cellnet.Acceptor{
		Config: &cellnet.Config{Framing: cellnet.LinkFraming},
		Open:   func(s *cellnet.Session) (cellnet.Handler, error) { return &impostor{s: s}, nil },
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() { _ = a.Serve(ctx, l) })
	defer serving.Wait()
	defer cancel()
	c := discovery.Dial(context.Background(), l.Addr().String(), discovery.Options{Secret: "correct horse"})
	defer c.Close()
	for {
		if err := c.Connected(); errors.Is(err, discovery.ErrRefused) {
			break
		} else if err == nil {
			t.Fatal("the client believes an impostor")
		}
		time.Sleep(time.Millisecond)
	}
	if c.Snapshot().Revision() != 0 {
		t.Fatal("the client took a state from an impostor")
	}
}

type impostor struct{ s *cellnet.Session }

func (i *impostor) Frame(b []byte) error {
	r, err := wire.ParseRequest(b)
	if err != nil {
		return err
	}
	reply := wire.Reply{ID: r.ID, Proof: r.Proof, Welcome: &wire.Welcome{History: "x", Secret: true}} // the client's own proof, reflected
	if r.Hello != nil {
		reply.Welcome.Nonce = r.Hello.Nonce
	}
	b, err = wire.Append(nil, reply)
	if err != nil {
		return err
	}
	return i.s.Send(nil, b)
}
func (i *impostor) Batch()       {}
func (i *impostor) Closed(error) {}

// far is a listener that other machines can reach, as far as one can see.
type far struct{ net.Listener }

func (far) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 8900} }

func TestOtherMachinesNeedASecret(t *testing.T) {
	for _, secret := range []string{"", "s"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s, err := New(Options{Secret: secret})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		err = s.Serve(ctx, far{l})
		if secret == "" && (err == nil || !strings.Contains(err.Error(), "-secret")) || secret != "" && err != nil {
			t.Errorf("secret %q: %v", secret, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestBadFramesCostTheirSender sends what is no protocol; everybody else goes on.
func TestBadFramesCostTheirSender(t *testing.T) {
	s := start(t, "", Options{Log: slog.New(slog.DiscardHandler)})
	good := dial(t, s.addr, discovery.Options{})
	lease := register(t, good, "game", 0)
	r := rand.New(rand.NewPCG(1, 1))
	garbage := make([]byte, 100)
	for i := range garbage {
		garbage[i] = byte(r.Uint32())
	}
	for i, frame := range []string{
		"", "x", "{}", "null", string(garbage), `{"id":1,"do":"hello"}`, `{"id":1,"do":"hello","hello":{"version":1}}`,
		`{"id":1,"do":"hello","hello":{"version":2,"nonce":"AAAA"}}`, `{"id":1,"do":"apply","ops":[{"do":"set","key":"stolen","value":"x"}]}`,
		strings.Repeat("[", 10000),
	} {
		bad := rawDial(t, s.addr, &cellnet.Config{})
		if err := bad.s.Send(nil, []byte(frame)); err != nil {
			t.Fatal(err)
		}
		for m := range bad.replies {
			if m.Error == nil {
				t.Errorf("frame %d is answered with %+v", i, m)
			}
		}
	}
	for i, frame := range []string{"", "x", `{"id":9,"do":"proof","proof":"AAAA"}`, `{"id":9,"do":"page","page":7}`, `{"id":9,"do":"nothing"}`} {
		bad := rawDial(t, s.addr, &cellnet.Config{})
		bad.hello(time.Minute)
		if err := bad.s.Send(nil, []byte(frame)); err != nil {
			t.Fatal(err)
		}
		for m := range bad.replies {
			t.Errorf("frame %d after a good hello is answered with %+v", i, m)
		}
	}
	// Too large a frame is refused by its length.
	bad := rawDial(t, s.addr, &cellnet.Config{MaxFrame: 2 * wire.MaxFrame})
	bad.hello(time.Minute)
	_ = bad.s.Send(nil, make([]byte, wire.MaxFrame+1))
	for range bad.replies {
	}
	if err := lease.Update(within(t), func(s *discovery.Service) { s.Addr = "127.0.0.1:1" }); err != nil {
		t.Fatal(err)
	}
	if _, ok := good.Snapshot().Value("stolen"); ok {
		t.Fatal("a request before hello was done")
	}
	if err := good.Connected(); err != nil {
		t.Fatal(err)
	}
}

// TestSlowWatcher: a client that reads nothing is cut; nobody waits for it.
func TestSlowWatcher(t *testing.T) {
	s := start(t, "", Options{Log: slog.New(slog.DiscardHandler), MaxPending: 2 << 20})
	slow, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	for i, text := range []string{
		fmt.Sprintf(`{"id":1,"do":"hello","hello":{"version":1,"ttl":300000,"nonce":"%s"}}`, strings.Repeat("AAAA", 10)+"AAA="),
		`{"id":2,"do":"watch","from":1}`,
	} {
		if _, err := slow.Write(append([]byte{byte(len(text)), 0, 0, 0}, text...)); err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
	}
	good := dial(t, s.addr, discovery.Options{})
	for { // until it watches
		st, err := good.Status(within(t))
		if err != nil {
			t.Fatal(err)
		}
		if st.Watchers == 2 {
			break
		}
	}
	big := strings.Repeat("x", discovery.MaxValue)
	for i := 0; s.Counters().SlowCut.Load() == 0; i++ {
		if i > 200 {
			t.Fatal("100 MB later the client that does not read is still there")
		}
		if err := discovery.Set(within(t), good, "k", fmt.Sprint(i)+big[8:]); err != nil {
			t.Fatal(err)
		}
	}
	if err := good.Connected(); err != nil {
		t.Fatal(err)
	}
}

// TestFellBehind: who was away for longer than memsd remembers gets the whole state, and is told.
func TestFellBehind(t *testing.T) {
	s := start(t, "", Options{Log: slog.New(slog.DiscardHandler)})
	l := newProxy(t, s.addr)
	away, writer := dial(t, l.addr, discovery.Options{}), dial(t, s.addr, discovery.Options{})
	if err := discovery.Set(within(t), writer, "first", "x"); err != nil {
		t.Fatal(err)
	}
	from := until(t, away, "it is there", func(s *discovery.Snapshot) bool { _, ok := s.Value("first"); return ok }).Revision()
	l.cut(true)
	var rev uint64
	big := strings.Repeat("x", discovery.MaxValue)
	for i := range 50 { // more bytes than memsd remembers
		var err error
		if rev, err = writer.Apply(within(t), discovery.SetOp("n", fmt.Sprint(i)), discovery.SetOp("big", fmt.Sprint(i)+big[10:]), discovery.DeleteOp("first")); err != nil {
			t.Fatal(err)
		}
	}
	l.cut(false)
	for ev := range away.Watch(within(t), from) {
		if ev.Reset == nil {
			t.Fatalf("the watch goes on with %+v", ev)
		}
		if v, _ := ev.Reset.Value("n"); v != "49" || ev.Revision < rev {
			t.Fatalf("the state after the reset has n=%s at revision %d", v, ev.Revision)
		}
		if _, ok := ev.Reset.Value("first"); ok {
			t.Fatal("what was deleted meanwhile is still there")
		}
		break
	}
}

// TestCatchesUp: who was away for a short time gets what it missed, event by event.
func TestCatchesUp(t *testing.T) {
	s := start(t, "", Options{Log: slog.New(slog.DiscardHandler)})
	l := newProxy(t, s.addr)
	away, writer := dial(t, l.addr, discovery.Options{}), dial(t, s.addr, discovery.Options{})
	if err := discovery.Set(within(t), writer, "n", "-1"); err != nil {
		t.Fatal(err)
	}
	from := until(t, away, "it is there", func(s *discovery.Snapshot) bool { _, ok := s.Value("n"); return ok }).Revision()
	l.cut(true)
	for i := range 100 {
		if err := discovery.Set(within(t), writer, "n", fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	l.cut(false)
	want := 0
	for ev := range away.Watch(within(t), from) {
		if ev.Reset != nil || len(ev.Changes) != 1 || ev.Changes[0].Value != fmt.Sprint(want) {
			t.Fatalf("event %d is %+v", want, ev)
		}
		if want++; want == 100 {
			break
		}
	}
}

func TestForgetServices(t *testing.T) {
	s := start(t, "", Options{})
	a, b := dial(t, s.addr, discovery.Options{}), dial(t, s.addr, discovery.Options{})
	before := register(t, a, "game", -1).Service()
	until(t, b, "the service is there", has(before.ID))
	from := b.Snapshot().Revision()
	if err := b.ForgetServices(within(t)); err != nil {
		t.Fatal(err)
	}
	var seen []bool
	for ev := range b.Watch(within(t), from) {
		for _, c := range ev.Changes {
			if c.Service == nil || c.Service.ID != before.ID || c.Service.Epoch != before.Epoch {
				t.Fatalf("event %+v", c)
			}
			seen = append(seen, c.Deleted)
		}
		if len(seen) == 2 {
			break
		}
	}
	if !seen[0] || seen[1] {
		t.Fatalf("deleted: %v; want it gone and then back by itself", seen)
	}
}

// TestHugeClear: an event that is too large for a frame reaches the watchers as a new state.
func TestHugeClear(t *testing.T) {
	s := start(t, "", Options{Log: slog.New(slog.DiscardHandler)})
	a, b := dial(t, s.addr, discovery.Options{}), dial(t, s.addr, discovery.Options{})
	for i := range 10 { // 10000 keys of nearly a KiB: more than a frame can take
		ops := make([]discovery.Op, 1000)
		for j := range ops {
			ops[j] = discovery.SetOp(fmt.Sprintf("%06d%s", i*1000+j, strings.Repeat("k", 1000)), "")
		}
		if _, err := a.Apply(within(t), ops...); err != nil {
			t.Fatal(err)
		}
	}
	until(t, b, "all keys are there", func(s *discovery.Snapshot) bool { _, n := s.Len(); return n == 10000 })
	if _, err := a.Apply(within(t), discovery.ClearOp("")); err != nil {
		t.Fatal(err)
	}
	if _, n := a.Snapshot().Len(); n != 0 {
		t.Fatalf("after the answer the own snapshot has %d keys", n)
	}
	until(t, b, "all keys are gone", func(s *discovery.Snapshot) bool { _, n := s.Len(); return n == 0 })
	if err := errors.Join(a.Connected(), b.Connected()); err != nil {
		t.Fatal(err)
	}
}
