//go:build unix

package main

import (
	"syscall"
	"testing"
	"time"

	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// TestFrozenService: a process that is stopped (or a laptop that sleeps) expires although its connections stand. It comes
// back as what it was; if another has its ID by then, it is told, and its goodbye removes nothing.
func TestFrozenService(t *testing.T) {
	p := startMemsd(t, t.TempDir(), "127.0.0.1:0")
	look := discovery.Dial(t.Context(), p.addr, discovery.Options{})
	defer look.Close()
	frozen := startService(t, p.addr, shortTTL)
	id := frozen.says("registered ")
	before, _ := until(t, look, "it is there", func(s *discovery.Snapshot) bool { return shows(s, id) }).Service(id)
	frozen.signal(syscall.SIGSTOP)
	began := time.Now()
	until(t, look, "the frozen one is gone", func(s *discovery.Snapshot) bool { return !shows(s, id) })
	if took := time.Since(began); took < shortTTL {
		t.Errorf("it was removed after %v, its time-to-live is %v", took, shortTTL)
	}
	frozen.signal(syscall.SIGCONT)
	s := until(t, look, "it is back", func(s *discovery.Snapshot) bool { return shows(s, id) })
	if after, _ := s.Service(id); !after.Equal(*before) {
		t.Errorf("it came back as %+v, and was %+v", after, before)
	}

	frozen.signal(syscall.SIGSTOP)
	until(t, look, "it is gone again", func(s *discovery.Snapshot) bool { return !shows(s, id) })
	newer := startService(t, p.addr, longTTL)
	if got := newer.says("registered "); got != id {
		t.Fatalf("the next process became %s, want %s", got, id)
	}
	frozen.signal(syscall.SIGCONT)
	frozen.says("lost ")
	frozen.stop()
	if !shows(look.Snapshot(), id) || newer.over() {
		t.Error("the late goodbye of the old one has removed the new one")
	}
	newer.stop()
	until(t, look, "the new one has left", func(s *discovery.Snapshot) bool { return !shows(s, id) })
}

// TestFrozenMemsdProcess: a memsd that was stopped for longer than any service may be silent has heard of none, and
// removes none: the silence was its own.
func TestFrozenMemsdProcess(t *testing.T) {
	p := startMemsd(t, t.TempDir(), "127.0.0.1:0")
	look := discovery.Dial(t.Context(), p.addr, discovery.Options{})
	defer look.Close()
	services := []*service{startService(t, p.addr, 2*shortTTL), startService(t, p.addr, 2*shortTTL)}
	for _, s := range services {
		s.says("registered ")
	}
	silent := startService(t, p.addr, shortTTL)
	gone := silent.says("registered ")
	from := until(t, look, "all are there", func(s *discovery.Snapshot) bool { n, _ := s.Len(); return n == 3 }).Revision()
	silent.signal(syscall.SIGSTOP)
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * shortTTL) // that is what is tested
	if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := discovery.Set(within(t), look, "k", "v"); err != nil {
		t.Fatal(err)
	}
	until(t, look, "who is silent is gone", func(s *discovery.Snapshot) bool { return !shows(s, gone) }) // it has looked for those
	for ev := range look.Watch(within(t), from) {
		for _, c := range ev.Changes {
			if c.Service != nil && c.Service.ID != gone {
				t.Errorf("service %s is told of: deleted %v", c.Service.ID, c.Deleted)
			}
		}
		if ev.Revision >= look.Snapshot().Revision() {
			break
		}
	}
	for _, s := range services {
		if s.over() {
			t.Errorf("a service has ended:\n%s", s.text())
		}
		s.stop()
	}
}
