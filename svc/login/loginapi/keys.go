package loginapi

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// keyPrefix is where public keys lie in discovery, by kid.
const keyPrefix = "login/key/"

// A key is published for keyLife and renewed twice in that time, so that the
// key of a login that went away is removed in the end, but not before its
// tokens have expired. Until it is removed it counts: while discovery cannot be
// written to nobody renews keys, and clients log in all the same.
const (
	keyLife  = time.Hour
	keyRenew = keyLife / 2
	keyRetry = time.Second // after discovery has refused
)

// MaxTokenLife is the longest a token may be good for: its key must outlive it.
const MaxTokenLife = keyLife - keyRenew

// published is a public key as it lies in discovery.
type published struct {
	Alg     string    `json:"alg"`
	Key     []byte    `json:"key"`
	Expires time.Time `json:"expires"`
}

// publicKey finds the key named kid.
func publicKey(snap *discovery.Snapshot, kid string) (ed25519.PublicKey, error) {
	text, ok := snap.Value(keyPrefix + kid)
	if !ok {
		return nil, fmt.Errorf("no key %q in discovery", kid)
	}
	var p published
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return nil, fmt.Errorf("key %q in discovery: %w", kid, err)
	}
	if p.Alg != "EdDSA" || len(p.Key) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("key %q in discovery is no Ed25519 key", kid)
	}
	return ed25519.PublicKey(p.Key), nil
}

// publish puts the public key into discovery, for keyLife from now on.
func (k *key) publish(ctx context.Context, reg discovery.Registry) error {
	text, err := json.MarshalIndent(published{"EdDSA", k.public, time.Now().Add(keyLife).UTC()}, "", "  ")
	if err != nil {
		return err
	}
	return discovery.Set(ctx, reg, keyPrefix+k.kid, string(text))
}

// Publish puts the public key into discovery.
func (s *Signer) Publish(ctx context.Context, reg discovery.Registry) error {
	return s.current.Load().publish(ctx, reg)
}

// Published reports whether those who verify can see the key already.
func (s *Signer) Published(snap *discovery.Snapshot) bool {
	_, err := publicKey(snap, s.current.Load().kid)
	return err == nil
}

// Keep keeps the key published: again in good time before it expires, and again
// if it is no longer there (discovery may have lost its data). Every so often it
// changes the key; tokens of the one before stay good, as its public half does not
// expire before they do. It removes expired keys, also of logins that are gone. It
// goes on whatever discovery says, tells log what keeps it from publishing, once
// for each reason, and returns nil when ctx is done.
func (s *Signer) Keep(ctx context.Context, reg discovery.Registry, rotate time.Duration, log *slog.Logger) error {
	said := ""
	due := time.Now().Add(rotate)
	for ctx.Err() == nil {
		err := s.Publish(ctx, reg) // also a last time before a change: for longer than tokens live
		if err == nil && !time.Now().Before(due) {
			if err = s.change(ctx, reg); err == nil {
				due = time.Now().Add(rotate)
			}
		}
		if err == nil {
			err = removeExpired(ctx, reg)
		}
		switch {
		case err == nil:
			said = ""
			s.awaitNeed(ctx, reg, due)
			continue
		case ctx.Err() == nil && err.Error() != said:
			said = err.Error()
			log.Warn("key for tokens not published, trying on", "err", err)
		}
		select {
		case <-time.After(keyRetry):
		case <-ctx.Done():
		}
	}
	return nil
}

// change signs with a new key from now on. It is published first, so that games
// know it when its first token comes.
func (s *Signer) change(ctx context.Context, reg discovery.Registry) error {
	next, err := newKey()
	if err != nil {
		return err
	}
	if err := next.publish(ctx, reg); err != nil {
		return err
	}
	s.current.Store(next)
	return nil
}

// awaitNeed returns when the key has to be published again, or changed.
func (s *Signer) awaitNeed(ctx context.Context, reg discovery.Registry, due time.Time) {
	ctx, cancel := context.WithTimeout(ctx, min(keyRenew, time.Until(due)))
	defer cancel()
	for snap := reg.Snapshot(); s.Published(snap); {
		next, err := reg.Wait(ctx, snap.Revision())
		if err != nil {
			<-ctx.Done() // or else the registry is closed, and nobody can publish
			return
		}
		snap = next
	}
}

// removeExpired removes keys that have expired, unless their owner has renewed
// them in this moment.
func removeExpired(ctx context.Context, reg discovery.Registry) error {
	now := time.Now()
	for key, text := range reg.Snapshot().Values(keyPrefix) {
		var p published
		if json.Unmarshal([]byte(text), &p) != nil || !now.After(p.Expires) {
			continue
		}
		if _, err := reg.Apply(ctx, discovery.DeleteOp(key).IfValue(text)); err != nil && !errors.Is(err, discovery.ErrConflict) {
			return fmt.Errorf("remove the expired key %q: %w", key, err)
		}
	}
	return nil
}
