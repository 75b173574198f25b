package gateway

import (
	"fmt"
	"testing"
	"time"
)

// come lets a client in, or not.
func (s *users) come(uid string, epoch uint64, now time.Time) (c, older *client, ok bool) {
	c = &client{}
	if older, ok = s.enter(c, uid, epoch, now); ok {
		c.user.Store(&user{uid: uid, epoch: epoch})
	}
	return c, older, ok
}

// The newest login has the uid, in whatever order one hears of them.
func TestUsersOrder(t *testing.T) {
	now := time.Now()
	var s users
	first, _, ok := s.come("alice", 1, now)
	if !ok || s.in["alice"].client != first {
		t.Fatal("the first is not in")
	}
	if c := s.heard("alice", 1, now); c != nil {
		t.Error("its own news ends it")
	}
	if c := s.heard("bob", 9, now); c != nil {
		t.Error("somebody else's news ends it")
	}
	third, older, ok := s.come("alice", 3, now)
	if !ok || older != first {
		t.Error("the third does not replace the first")
	}
	if _, _, ok := s.come("alice", 2, now); ok {
		t.Error("the second is in after the third")
	}
	s.leave(first)
	if s.in["alice"].client != third {
		t.Error("the first takes the third along")
	}
	if c := s.heard("alice", 4, now); c != third {
		t.Error("the fourth, elsewhere, does not end the third")
	}
	s.leave(third)
	if s.in["alice"].client != nil || s.count() != 0 {
		t.Error("somebody is left")
	}
	if _, _, ok := s.come("alice", 3, now.Add(memory)); ok {
		t.Error("the third is in again")
	}
	if older, ok := s.enter(third, "alice", 5, now); !ok || older != nil {
		t.Error("a connection cannot be bound anew")
	}
}

// What was heard is forgotten, but not too soon, and is bounded.
func TestUsersMemory(t *testing.T) {
	now := time.Now()
	var s users
	s.heard("alice", 7, now)
	for range 10 { // whatever else happens
		now = now.Add(memory / 10)
		s.heard("bob", 1, now)
	}
	if _, _, ok := s.come("alice", 6, now); ok {
		t.Error("forgotten too soon")
	}
	now = now.Add(2*memory + 1)
	if _, _, ok := s.come("alice", 6, now); !ok {
		t.Error("not forgotten")
	}
	for i := range 3 * maxMemory {
		s.heard(fmt.Sprint(i), 1, now)
	}
	if n := len(s.young) + len(s.old); n > 2*maxMemory {
		t.Errorf("%d are remembered", n)
	}
	if n := len(s.young) + len(s.old); n < maxMemory {
		t.Errorf("only %d are remembered", n)
	}
}
