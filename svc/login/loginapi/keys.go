package loginapi

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"time"

	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// keyPrefix is where public keys lie in discovery, by kid.
const keyPrefix = "login/key/"

// A key is published for keyLife and renewed twice in that time, so that the
// key of a login that went away disappears in the end, but not before its
// tokens have.
const (
	keyLife  = time.Hour
	keyRenew = keyLife / 2
)

// published is a public key as it lies in discovery.
type published struct {
	Alg     string    `json:"alg"`
	Key     []byte    `json:"key"`
	Expires time.Time `json:"expires"`
}

// publicKey finds the key named kid.
func publicKey(snap *discovery.Snapshot, kid string, now time.Time) (ed25519.PublicKey, error) {
	text, ok := snap.Value(keyPrefix + kid)
	if !ok {
		return nil, fmt.Errorf("no key %q in discovery", kid)
	}
	var p published
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return nil, fmt.Errorf("key %q in discovery: %w", kid, err)
	}
	switch {
	case p.Alg != "EdDSA" || len(p.Key) != ed25519.PublicKeySize:
		return nil, fmt.Errorf("key %q in discovery is no Ed25519 key", kid)
	case now.After(p.Expires):
		return nil, fmt.Errorf("key %q in discovery expired at %v", kid, p.Expires)
	}
	return ed25519.PublicKey(p.Key), nil
}

// Publish puts the public key into discovery.
func (s *Signer) Publish(ctx context.Context, reg discovery.Registry, now time.Time) error {
	text, err := json.MarshalIndent(published{"EdDSA", s.public, now.Add(keyLife).UTC()}, "", "  ")
	if err != nil {
		return err
	}
	return discovery.Set(ctx, reg, keyPrefix+s.kid, string(text))
}

// Published reports whether those who verify can see the key already.
func (s *Signer) Published(snap *discovery.Snapshot) bool {
	_, err := publicKey(snap, s.kid, time.Now())
	return err == nil
}

// KeepPublished publishes the key, again in good time before it expires, and
// again if it is no longer there (discovery may have lost its data). It removes
// expired keys of logins that are gone. It returns when ctx is done.
func (s *Signer) KeepPublished(ctx context.Context, reg discovery.Registry) error {
	for {
		now := time.Now()
		if err := s.Publish(ctx, reg, now); err != nil {
			return done(ctx, fmt.Errorf("publish the key for tokens: %w", err))
		}
		if err := removeExpired(ctx, reg, now); err != nil {
			return done(ctx, err)
		}
		renew, cancel := context.WithTimeout(ctx, keyRenew)
		for snap := reg.Snapshot(); s.Published(snap); {
			next, err := reg.Wait(renew, snap.Revision())
			if err != nil {
				break
			}
			snap = next
		}
		cancel()
		if ctx.Err() != nil {
			return nil
		}
	}
}

func removeExpired(ctx context.Context, reg discovery.Registry, now time.Time) error {
	var ops []discovery.Op
	for key, text := range reg.Snapshot().Values(keyPrefix) {
		var p published
		if json.Unmarshal([]byte(text), &p) == nil && now.After(p.Expires) {
			ops = append(ops, discovery.DeleteOp(key))
		}
	}
	if len(ops) == 0 {
		return nil
	}
	if _, err := reg.Apply(ctx, ops...); err != nil {
		return fmt.Errorf("remove expired keys for tokens: %w", err)
	}
	return nil
}

// done forgives an error that is only ctx's.
func done(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
