package contract

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/davyxu/cellmesh_demo/util/discovery"
)

func register(t *testing.T, open Open) {
	a, b := open(), open()
	meta := map[string]string{"http": "127.0.0.1:1", "版本": "<1>&\""}
	want := discovery.Service{Name: "game", Group: "dev", Index: 3, Addr: "127.0.0.1:2", State: discovery.Starting,
		Meta: meta, ID: "nonsense#9@x", Epoch: 99}
	l, err := a.Register(within(t), want)
	if err != nil {
		t.Fatal(err)
	}
	meta["http"] = "changed later by the caller"
	got := l.Service()
	want.Meta = map[string]string{"http": "127.0.0.1:1", "版本": "<1>&\""}
	want.ID, want.Epoch = "game#3@dev", got.Epoch
	if !got.Equal(want) || got.Epoch == 0 {
		t.Fatalf("registered %+v, want %+v", got, want)
	}
	for _, r := range []discovery.Registry{a, b} {
		s := until(t, r, "the service is there", func(s *discovery.Snapshot) bool { _, ok := s.Service("game#3@dev"); return ok })
		if svc, _ := s.Service("game#3@dev"); !svc.Equal(want) {
			t.Fatalf("snapshot has %+v, want %+v", svc, want)
		}
	}
	if _, ok := a.Snapshot().Service("game#3@other"); ok {
		t.Error("the service is there in another group")
	}
}

func registerRefuses(t *testing.T, open Open) {
	r := open()
	ok := discovery.Service{Name: "game", Group: "dev", State: discovery.Ready}
	for name, c := range map[string]struct {
		want   error
		change func(*discovery.Service)
	}{
		"no name":   {discovery.ErrInvalid, func(s *discovery.Service) { s.Name = "" }},
		"bad name":  {discovery.ErrInvalid, func(s *discovery.Service) { s.Name = "a#b" }},
		"bad group": {discovery.ErrInvalid, func(s *discovery.Service) { s.Group = "a b" }},
		"no state":  {discovery.ErrInvalid, func(s *discovery.Service) { s.State = "" }},
		"bad text":  {discovery.ErrInvalid, func(s *discovery.Service) { s.Addr = "\xff" }},
		"big index": {discovery.ErrInvalid, func(s *discovery.Service) { s.Index = 1 << 30 }},
		"big meta": {discovery.ErrTooLarge, func(s *discovery.Service) {
			s.Meta = map[string]string{"x": strings.Repeat("x", discovery.MaxMeta)}
		}},
	} {
		s := ok
		c.change(&s)
		if _, err := r.Register(within(t), s); !errors.Is(err, c.want) {
			t.Errorf("%s: %v; want %v", name, err, c.want)
		}
	}
	if n, _ := r.Snapshot().Len(); n != 0 {
		t.Errorf("%d refused services are there", n)
	}
}

func ids(s *discovery.Snapshot, name string) string {
	var out []string
	for svc := range s.Services(name) {
		out = append(out, svc.ID)
	}
	return strings.Join(out, " ")
}

func servicesAreOrdered(t *testing.T, open Open) {
	r := open()
	for _, id := range []string{"game#10@dev", "game#2@dev", "agent#0@dev", "game#3@a", "gam#1@dev", "games#0@dev"} {
		name, index, group, err := discovery.ParseID(id)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Register(within(t), discovery.Service{Name: name, Group: group, Index: index, State: discovery.Ready}); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := ids(r.Snapshot(), ""), "agent#0@dev gam#1@dev game#3@a game#2@dev game#10@dev games#0@dev"; got != want {
		t.Errorf("all services: %s; want %s", got, want)
	}
	if got, want := ids(r.Snapshot(), "game"), "game#3@a game#2@dev game#10@dev"; got != want {
		t.Errorf("game services: %s; want %s", got, want)
	}
	for range r.Snapshot().Services("") {
		break // stopping early is allowed
	}
}

func lowestFreeIndex(t *testing.T, open Open) {
	r := open()
	enter(t, r, "game", 0)
	enter(t, r, "game", 2)
	var leases []discovery.Lease
	for _, want := range []int{1, 3, 4} {
		l := enter(t, r, "game", -1)
		if got := l.Service().Index; got != want {
			t.Fatalf("index %d was given, want %d", got, want)
		}
		leases = append(leases, l)
	}
	if err := leases[1].Close(within(t)); err != nil {
		t.Fatal(err)
	}
	if got := enter(t, r, "game", -1).Service().Index; got != 3 {
		t.Fatalf("index %d was given, want the 3 that became free", got)
	}
	if got := enter(t, r, "agent", -1).Service().Index; got != 0 {
		t.Fatalf("first agent got index %d", got)
	}
}

func fiftyAtOnce(t *testing.T, open Open) {
	const n = 50
	got := make([]int, n)
	var wg sync.WaitGroup
	for i := range n {
		r := open()
		wg.Go(func() {
			l, err := r.Register(within(t), discovery.Service{Name: "game", Group: "dev", Index: -1, State: discovery.Ready})
			if err != nil {
				t.Error(err)
				return
			}
			got[i] = l.Service().Index
		})
	}
	wg.Wait()
	slices.Sort(got)
	for i := range got {
		if got[i] != i {
			t.Fatalf("indexes given to %d processes at once: %v", n, got)
		}
	}
}

func update(t *testing.T, open Open) {
	a, b := open(), open()
	l := enter(t, a, "game", 0)
	before := l.Service()
	err := l.Update(within(t), func(s *discovery.Service) {
		s.State, s.Addr, s.Meta = discovery.Draining, "127.0.0.1:9", map[string]string{"players": "7"}
		s.ID, s.Name, s.Group, s.Index, s.Epoch = "x", "y", "z", 5, 6 // all put back
	})
	if err != nil {
		t.Fatal(err)
	}
	want := before
	want.State, want.Addr, want.Meta = discovery.Draining, "127.0.0.1:9", map[string]string{"players": "7"}
	if got := l.Service(); !got.Equal(want) {
		t.Fatalf("lease has %+v, want %+v", got, want)
	}
	if got, _ := a.Snapshot().Service(want.ID); got == nil || !got.Equal(want) {
		t.Fatalf("own snapshot has %+v, want %+v", got, want)
	}
	until(t, b, "the update is seen", func(s *discovery.Snapshot) bool {
		got, ok := s.Service(want.ID)
		return ok && got.Equal(want)
	})
	if err := l.Update(within(t), func(s *discovery.Service) { s.State = "asleep" }); !errors.Is(err, discovery.ErrInvalid) {
		t.Fatalf("update to an unknown state: %v", err)
	}
	if got := l.Service(); !got.Equal(want) {
		t.Fatalf("a refused update was kept: %+v", got)
	}
	for i := range 50 {
		if err := l.Update(within(t), func(s *discovery.Service) { s.Meta["players"] = fmt.Sprint(i) }); err != nil {
			t.Fatal(err)
		}
	}
	if got, _ := a.Snapshot().Service(want.ID); got.Meta["players"] != "49" {
		t.Fatalf("after the last of 50 updates the snapshot has %+v", got)
	}
	if want.Meta["players"] != "7" {
		t.Fatal("an update changed metadata that was handed out before")
	}
}

func replace(t *testing.T, open Open) {
	a, b := open(), open()
	old := enter(t, a, "game", 0)
	other := enter(t, a, "game", 1)
	newer := enter(t, b, "game", 0)
	if o, n := old.Service().Epoch, newer.Service().Epoch; n <= o {
		t.Fatalf("the old epoch is %d, the new one %d", o, n)
	}
	select {
	case err := <-old.Lost():
		if !errors.Is(err, discovery.ErrReplaced) {
			t.Fatalf("lost: %v; want ErrReplaced", err)
		}
	case <-within(t).Done():
		t.Fatal("the old owner was not told")
	}
	if _, open := <-old.Lost(); open {
		t.Fatal("lost says more than one thing")
	}
	if err := old.Update(within(t), func(s *discovery.Service) { s.Addr = "127.0.0.1:666" }); !errors.Is(err, discovery.ErrReplaced) {
		t.Fatalf("update by the old owner: %v; want ErrReplaced", err)
	}
	if err := old.Close(within(t)); err != nil {
		t.Fatalf("goodbye of the old owner: %v", err)
	}
	if err := a.Close(); err != nil { // its process goes, too
		t.Fatal(err)
	}
	s := until(t, b, "the rest of the old process is gone", func(s *discovery.Snapshot) bool { _, ok := s.Service(other.Service().ID); return !ok })
	if got, ok := s.Service("game#0@dev"); !ok || !got.Equal(newer.Service()) {
		t.Fatalf("the old owner's goodbye left %+v", got)
	}
	if err := newer.Update(within(t), func(s *discovery.Service) { s.Addr = "127.0.0.1:3" }); err != nil {
		t.Fatalf("update by the new owner: %v", err)
	}
}

func leaseClose(t *testing.T, open Open) {
	a, b := open(), open()
	l := enter(t, a, "game", 0)
	epoch := l.Service().Epoch
	until(t, b, "the service is there", func(s *discovery.Snapshot) bool { _, ok := s.Service("game#0@dev"); return ok })
	for range 2 { // the second time is no error
		if err := l.Close(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := a.Snapshot().Service("game#0@dev"); ok {
		t.Fatal("own snapshot still has it")
	}
	until(t, b, "the service is gone", func(s *discovery.Snapshot) bool { _, ok := s.Service("game#0@dev"); return !ok })
	if err, open := <-l.Lost(); open {
		t.Fatalf("a lease that was closed says it is lost: %v", err)
	}
	if err := l.Update(within(t), func(*discovery.Service) {}); !errors.Is(err, discovery.ErrClosed) {
		t.Fatalf("update of a closed lease: %v; want ErrClosed", err)
	}
	if next := enter(t, a, "game", 0).Service().Epoch; next <= epoch {
		t.Fatalf("epoch %d follows %d", next, epoch)
	}
}

func closeLeaves(t *testing.T, open Open) {
	a, b := open(), open()
	l := enter(t, a, "game", -1)
	enter(t, a, "agent", -1)
	enter(t, b, "hub", -1)
	apply(t, a, discovery.SetOp("k", "v"))
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	s := until(t, b, "the process is gone", func(s *discovery.Snapshot) bool { return ids(s, "") == "hub#0@dev" })
	wantValue(t, s, "k", "v")
	if err, open := <-l.Lost(); open {
		t.Fatalf("a lease of a closed registry says it is lost: %v", err)
	}
}

func closedIsClosed(t *testing.T, open Open) {
	r := open()
	apply(t, r, discovery.SetOp("k", "v"))
	for range 2 {
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	ctx := context.Background()
	if _, err := r.Apply(ctx, discovery.SetOp("k", "w")); !errors.Is(err, discovery.ErrClosed) {
		t.Errorf("apply: %v; want ErrClosed", err)
	}
	if _, err := r.Register(ctx, discovery.Service{Name: "a", Group: "b", State: discovery.Ready}); !errors.Is(err, discovery.ErrClosed) {
		t.Errorf("register: %v; want ErrClosed", err)
	}
	if _, err := r.Wait(ctx, r.Snapshot().Revision()+10); !errors.Is(err, discovery.ErrClosed) {
		t.Errorf("wait: %v; want ErrClosed", err)
	}
	for range r.Watch(ctx, 0) {
		t.Error("watch yields")
	}
	wantValue(t, r.Snapshot(), "k", "v")
}
