package loginapi

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// What lies in discovery instead of a key is no key.
func TestWrongKeys(t *testing.T) {
	o := newOffice(t)
	token := o.sign(t, grant())
	key := func(alg string, k []byte, expires time.Time) string {
		b, err := json.Marshal(published{alg, k, expires})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	later := time.Now().Add(time.Hour)
	for what, text := range map[string]string{
		"no JSON":           "{",
		"another algorithm": key("RS256", o.pair().public, later),
		"half a key":        key("EdDSA", o.pair().public[:16], later),
		"another key":       key("EdDSA", make([]byte, ed25519.PublicKeySize), later),
	} {
		if err := discovery.Set(t.Context(), o.reg, keyPrefix+o.pair().kid, text); err != nil {
			t.Fatal(err)
		}
		if _, err := o.Verify(t.Context(), token, game); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// keep keeps the key of a new signer published until the bubble's end.
func keep(t *testing.T, reg discovery.Registry) (*Signer, *strings.Builder) {
	s, err := NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	log := &strings.Builder{}
	go func() { done <- s.Keep(ctx, reg, 100*time.Hour, slog.New(slog.NewTextHandler(log, nil))) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	synctest.Wait()
	return s, log
}

// A key stays published for as long as its login lives, also if discovery
// loses it; afterwards another login removes it when it has expired.
func TestKeyStaysPublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := discovery.NewMemory().Open()
		t.Cleanup(func() { reg.Close() })
		s, _ := keep(t, reg)
		v := NewVerifier(reg)
		works := func(when string) {
			t.Helper()
			token, err := s.Sign(Grant{UID: "alice", GameID: game, Expires: time.Now().Add(time.Minute)}, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := v.Verify(t.Context(), token, game); err != nil {
				t.Errorf("%s: %v", when, err)
			}
		}
		works("at once")
		for i := range 50 {
			time.Sleep(7 * time.Minute)
			works(fmt.Sprint("after ", 7*i, " minutes"))
		}
		if err := discovery.Delete(t.Context(), reg, keyPrefix+s.pair().kid); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		works("after discovery has lost it")

		gone, err := NewSigner()
		if err != nil {
			t.Fatal(err)
		}
		if err := gone.Publish(t.Context(), reg); err != nil {
			t.Fatal(err)
		}
		if err := discovery.Set(t.Context(), reg, keyPrefix+"by hand", "no key of ours"); err != nil {
			t.Fatal(err)
		}
		there := func() bool { _, ok := reg.Snapshot().Value(keyPrefix + gone.pair().kid); return ok }
		time.Sleep(keyLife - time.Minute)
		if !there() || !gone.Published(reg.Snapshot()) {
			t.Error("the key of a login that has gone is gone before its tokens")
		}
		time.Sleep(keyLife)
		if there() {
			t.Error("an expired key is left")
		}
		if _, ok := reg.Snapshot().Value(keyPrefix + "by hand"); !ok {
			t.Error("what is no key of ours was removed")
		}
		works("at the end")
	})
}

// For as long as discovery cannot be written to, tokens are as good as ever; a
// key that was not renewed meanwhile is afterwards.
func TestDiscoveryCannotBeWrittenTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &badRegistry{Registry: discovery.NewMemory().Open()}
		t.Cleanup(func() { r.Close() })
		s, _ := keep(t, r)
		r.fail(discovery.ErrUnavailable)
		for range 10 {
			time.Sleep(keyLife)
			token, err := s.Sign(Grant{UID: "alice", GameID: game, Expires: time.Now().Add(time.Minute)}, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := NewVerifier(r).Verify(t.Context(), token, game); err != nil {
				t.Fatal(err)
			}
		}
		r.fail(nil)
		time.Sleep(keyRetry)
		synctest.Wait()
		text, _ := r.Snapshot().Value(keyPrefix + s.pair().kid)
		var p published
		if err := json.Unmarshal([]byte(text), &p); err != nil || time.Until(p.Expires) < keyLife-time.Minute {
			t.Errorf("the key is %s, %v", text, err)
		}
	})
}

// A key is changed every so often, and no token is refused for it, from the
// first second to the last, nor is more than one old key left.
func TestKeyRotates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := discovery.NewMemory().Open()
		t.Cleanup(func() { reg.Close() })
		s, err := NewSigner()
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- s.Keep(ctx, reg, 2*time.Hour, slog.New(slog.DiscardHandler)) }()
		defer func() { cancel(); <-done }()
		synctest.Wait()
		v := NewVerifier(reg)
		v.patience = 0
		type signed struct {
			token string
			ends  time.Time
		}
		var live []signed
		kids := map[string]bool{}
		for range 12 * 12 {
			now := time.Now()
			token, err := s.Sign(Grant{UID: "alice", Epoch: 1, GameID: game, Expires: now.Add(MaxTokenLife)}, now)
			if err != nil {
				t.Fatal(err)
			}
			kids[s.pair().kid] = true
			live = append(live, signed{token, now.Add(MaxTokenLife)})
			for len(live) > 0 && live[0].ends.Before(now) {
				live = live[1:]
			}
			for _, l := range live {
				if _, err := v.Verify(t.Context(), l.token, game); err != nil {
					t.Fatalf("a token with %v to live: %v", l.ends.Sub(now), err)
				}
			}
			n := 0
			for range reg.Snapshot().Values(keyPrefix) {
				n++
			}
			if n > 2 {
				t.Fatalf("%d keys are published", n)
			}
			time.Sleep(5 * time.Minute)
		}
		if len(kids) != 6 {
			t.Errorf("%d keys in 12 hours, want 6", len(kids))
		}
	})
}

// badRegistry fails to apply until it is well.
type badRegistry struct {
	discovery.Registry
	mu  sync.Mutex
	err error
}

func (r *badRegistry) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

func (r *badRegistry) Apply(ctx context.Context, ops ...discovery.Op) (uint64, error) {
	r.mu.Lock()
	err := r.err
	r.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return r.Registry.Apply(ctx, ops...)
}

// Discovery that refuses, or whose answer is lost, is tried again; it is said
// once, and ends nothing.
func TestKeyIsPublishedInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &badRegistry{Registry: discovery.NewMemory().Open(), err: discovery.ErrInDoubt}
		t.Cleanup(func() { r.Close() })
		s, log := keep(t, r)
		time.Sleep(time.Minute)
		synctest.Wait()
		if s.Published(r.Snapshot()) {
			t.Error("published")
		}
		r.fail(discovery.ErrStorage)
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := strings.Count(log.String(), "level=WARN"); n != 2 {
			t.Errorf("%d warnings:\n%s", n, log.String())
		}
		r.fail(nil)
		time.Sleep(keyRetry)
		synctest.Wait()
		if !s.Published(r.Snapshot()) {
			t.Error("not published")
		}
	})
}

// An expired key that its owner renews in this moment is not removed.
func TestRenewedKeyIsNotRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		time.Sleep(keyLife + time.Second)
		r := renewing{o.reg, o.Signer}
		if err := removeExpired(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if !o.Published(o.reg.Snapshot()) {
			t.Error("removed")
		}
	})
}

// renewing renews the key of a signer just before anything is applied.
type renewing struct {
	discovery.Registry
	s *Signer
}

func (r renewing) Apply(ctx context.Context, ops ...discovery.Op) (uint64, error) {
	if err := r.s.Publish(ctx, r.Registry); err != nil {
		return 0, err
	}
	return r.Registry.Apply(ctx, ops...)
}

// A login's clients may come to a game before discovery has told it the key.
func TestKeyComesLate(t *testing.T) { synctest.Test(t, testKeyComesLate) }

func testKeyComesLate(t *testing.T) {
	reg := discovery.NewMemory().Open()
	defer reg.Close()
	s, err := NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	token, err := s.Sign(Grant{UID: "alice", Epoch: 1, GameID: game, Expires: now.Add(time.Minute)}, now)
	if err != nil {
		t.Fatal(err)
	}
	verified := make(chan error, 1)
	go func() {
		_, err := NewVerifier(reg).Verify(t.Context(), token, game)
		verified <- err
	}()
	synctest.Wait() // it waits for the key
	if err := s.Publish(t.Context(), reg); err != nil {
		t.Fatal(err)
	}
	if err := <-verified; err != nil {
		t.Fatal(err)
	}
}
