package server

import (
	"bytes"
	"errors"
	"log/slog"
	"testing"

	"github.com/davyxu/cellmesh_demo/util/cellnet"
	"github.com/davyxu/cellmesh_demo/util/discovery"
	"github.com/davyxu/cellmesh_demo/util/discovery/wire"
	"github.com/davyxu/cellmesh_demo/util/peerauth"
)

// FuzzSession sends one client's frames to a memsd, one a line, after a hello or without. Whatever they are, memsd lives,
// and another client is served.
func FuzzSession(f *testing.F) {
	seed := func(greet bool, requests ...wire.Request) {
		var lines []byte
		for i, r := range requests {
			r.ID = uint64(i + 10)
			b, err := wire.Append(nil, r)
			if err != nil {
				f.Fatal(err)
			}
			lines = append(append(lines, b...), '\n')
		}
		f.Add(greet, lines)
	}
	svc := discovery.Service{Name: "game", Group: "dev", Index: -1, State: discovery.Ready}
	seed(false, wire.Request{Do: wire.DoHello, Hello: &wire.Hello{Version: 1, Nonce: peerauth.NewNonce(), Revision: 1 << 40, History: "x"}})
	seed(true, wire.Request{Do: wire.DoPage}, wire.Request{Do: wire.DoWatch, From: 1}, wire.Request{Do: wire.DoApply, Ops: []discovery.Op{discovery.SetOp("a", "b")}})
	seed(true, wire.Request{Do: wire.DoRegister, Owner: "x", Service: &svc}, wire.Request{Do: wire.DoLeave, Owner: "x"}, wire.Request{Do: wire.DoBye})
	seed(true, wire.Request{Do: wire.DoForget}, wire.Request{Do: wire.DoStatus}, wire.Request{Do: wire.DoPing})

	var network cellnet.MemoryNetwork
	f.Fuzz(func(t *testing.T, greet bool, lines []byte) {
		l, err := network.Listen("memsd:1")
		if err != nil {
			t.Fatal(err)
		}
		startOn(t, l, Options{Settle: 1, Grace: 1, Log: slog.New(slog.DiscardHandler)})
		good := dial(t, "memsd:1", discovery.Options{DialContext: network.Dial})
		lease := register(t, good, "good", 0)
		bad := rawDial(t, "memsd:1", &cellnet.Config{DialContext: network.Dial})
		go func() {
			for range bad.replies { // until its connection ends
			}
		}()
		if greet {
			b, err := wire.Append(nil, wire.Request{ID: 1, Do: wire.DoHello, Hello: &wire.Hello{Version: wire.Version, Nonce: peerauth.NewNonce(), TTL: 1000}})
			if err != nil {
				t.Fatal(err)
			}
			_ = bad.s.Send(nil, b)
		}
		for line := range bytes.Lines(lines) {
			_ = bad.s.Send(nil, bytes.TrimSuffix(line, []byte{'\n'}))
		}
		err = discovery.Set(within(t), good, "k", "v")
		for errors.Is(err, discovery.ErrInDoubt) { // a forget closes the connections of those who have services
			err = discovery.Set(within(t), good, "k", "v")
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := lease.Update(within(t), func(s *discovery.Service) { s.Addr = "127.0.0.1:1" }); err != nil {
			t.Fatal(err)
		}
	})
}
