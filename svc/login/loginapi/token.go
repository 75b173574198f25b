// Package loginapi is what login gives to others: tokens that say who a client
// is, and how to check them.
//
// A token is a JWT signed with Ed25519. Each login process has a key of its
// own, and a new one every so often; the private half never leaves it, the
// public half lies in discovery (keys.go), where those who verify read it live.
//
// A token opens one session, and only that of the newest login of its uid: this
// is kept in the database that login and game share (sessions.go), because it
// must hold across all games, however they are started and stopped. Logins are
// numbered there: of two sessions of one uid the one of the higher epoch is
// right, wherever they are.
//
// Open token.go first.
package loginapi

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5" // the maintained successor of dgrijalva/jwt-go

	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// issuer is the "iss" of our tokens.
const issuer = "cellmesh"

// leeway forgives clocks that differ between machines.
const leeway = 10 * time.Second

// Why a token is refused; what is wrapped around says more, for the log.
var (
	ErrInvalid       = errors.New("token is invalid")
	ErrExpired       = errors.New("token has expired")
	ErrEarly         = errors.New("token is not valid yet")
	ErrOtherAudience = errors.New("token is for another service")
)

// Grant is what a token says.
type Grant struct {
	UID     string
	Epoch   uint64 // grows with every login of the uid
	GameID  string // svcid of the game it is for
	ID      string // different for every token
	Expires time.Time
}

// claims is a Grant as it stands in the token.
type claims struct {
	jwt.RegisteredClaims
	Epoch uint64 `json:"epoch"`
}

// outgoing is claims in types that are cheap to encode, for login does little
// else.
type outgoing struct {
	Issuer    string    `json:"iss"`
	Subject   string    `json:"sub"`
	Audience  [1]string `json:"aud"`
	Expires   int64     `json:"exp"` // in seconds
	NotBefore int64     `json:"nbf"`
	Issued    int64     `json:"iat"`
	ID        string    `json:"jti"`
	Epoch     uint64    `json:"epoch"`
}

// Signer makes tokens, with one key at a time. Any goroutine may use it.
type Signer struct {
	current atomic.Pointer[key]
}

// key is a pair of keys and its name.
type key struct {
	kid     string
	private ed25519.PrivateKey
	public  ed25519.PublicKey
	head    string // what all its tokens begin with, the dot too
}

func newKey() (*key, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key for tokens: %w", err)
	}
	k := &key{kid: rand.Text(), private: private, public: public}
	t := jwt.New(jwt.SigningMethodEdDSA)
	t.Header["kid"] = k.kid
	text, err := t.SigningString()
	if err != nil {
		return nil, fmt.Errorf("make a key for tokens: %w", err)
	}
	k.head = text[:strings.IndexByte(text, '.')+1]
	return k, nil
}

// NewSigner makes a signer with a new key.
func NewSigner() (*Signer, error) {
	k, err := newKey()
	if err != nil {
		return nil, err
	}
	s := &Signer{}
	s.current.Store(k)
	return s, nil
}

// Sign makes the token that says g from now on, for at most MaxTokenLife. An
// empty g.ID is filled in.
func (s *Signer) Sign(g Grant, now time.Time) (string, error) {
	if life := g.Expires.Sub(now); life > MaxTokenLife {
		return "", fmt.Errorf("sign token: good for %v, at most %v are allowed", life, MaxTokenLife)
	}
	if g.ID == "" {
		g.ID = rand.Text()
	}
	k := s.current.Load()
	token, err := k.sign(outgoing{
		Issuer: issuer, Subject: g.UID, Audience: [1]string{g.GameID}, ID: g.ID, Epoch: g.Epoch,
		Expires: g.Expires.Unix(), NotBefore: now.Unix(), Issued: now.Unix(),
	})
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return token, nil
}

// sign makes a token. The library would encode its head anew for each.
func (k *key) sign(c outgoing) (string, error) {
	body, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	enc := base64.RawURLEncoding
	token := make([]byte, 0, len(k.head)+enc.EncodedLen(len(body))+1+enc.EncodedLen(ed25519.SignatureSize))
	token = enc.AppendEncode(append(token, k.head...), body)
	signature, err := jwt.SigningMethodEdDSA.Sign(string(token), k.private)
	if err != nil {
		return "", err
	}
	return string(enc.AppendEncode(append(token, '.'), signature)), nil
}

// Verifier checks tokens against the keys in discovery.
type Verifier struct {
	registry discovery.Registry
	parser   *jwt.Parser
	patience time.Duration
}

// keyPatience is how long a token waits for a key that is not known yet: a new
// login's clients may be faster than discovery.
const keyPatience = time.Second

// NewVerifier makes a verifier.
func NewVerifier(registry discovery.Registry) *Verifier {
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}), // pinned: a token does not choose how it is checked
		jwt.WithIssuer(issuer), jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(leeway),
	)
	return &Verifier{registry, parser, keyPatience}
}

// Verify says what token grants at the game self; Sessions.Redeem says whether
// it still does. The error wraps ErrInvalid, ErrExpired, ErrEarly or
// ErrOtherAudience. It takes up to a second if the token's key is
// not known, or until ctx is done.
func (v *Verifier) Verify(ctx context.Context, token, self string) (Grant, error) {
	var c claims
	_, err := v.parser.ParseWithClaims(token, &c, func(t *jwt.Token) (any, error) {
		kid, ok := t.Header["kid"].(string)
		if !ok {
			return nil, errors.New("no key ID")
		}
		return v.key(ctx, kid)
	})
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return Grant{}, fmt.Errorf("%w: %w", ErrExpired, err)
	case errors.Is(err, jwt.ErrTokenNotValidYet), errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
		return Grant{}, fmt.Errorf("%w: %w", ErrEarly, err)
	case err != nil:
		return Grant{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	case c.Subject == "" || c.ID == "" || len(c.Audience) != 1:
		return Grant{}, fmt.Errorf("%w: no uid, no ID, or not one audience", ErrInvalid)
	case c.Audience[0] != self:
		return Grant{}, fmt.Errorf("%w: for %s, this is %s", ErrOtherAudience, c.Audience[0], self)
	}
	return Grant{UID: c.Subject, Epoch: c.Epoch, GameID: c.Audience[0], ID: c.ID, Expires: c.ExpiresAt.Time}, nil
}

// key is the public key named kid, waited for if it is not there yet.
func (v *Verifier) key(ctx context.Context, kid string) (ed25519.PublicKey, error) {
	ctx, cancel := context.WithTimeout(ctx, v.patience)
	defer cancel()
	for {
		snap := v.registry.Snapshot()
		key, err := publicKey(snap, kid)
		if err == nil {
			return key, nil
		}
		if _, werr := v.registry.Wait(ctx, snap.Revision()); werr != nil {
			return nil, err
		}
	}
}
