package loginapi

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"

	"github.com/davyxu/cellmesh_demo/util/discovery"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const game = "game#0@dev"

// office is a signer whose key is published, and a verifier at a game.
type office struct {
	*Signer
	*Verifier
	reg discovery.Registry
}

// pair is the key of this moment.
func (s *Signer) pair() *key { return s.current.Load() }

func newOffice(t testing.TB) office {
	reg := discovery.NewMemory().Open()
	t.Cleanup(func() { reg.Close() })
	s, err := NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Publish(t.Context(), reg); err != nil {
		t.Fatal(err)
	}
	v := NewVerifier(reg)
	v.patience = 0 // tests of other keys need not wait for them
	return office{s, v, reg}
}

// grant is what tokens of the tests say.
func grant() Grant {
	return Grant{UID: "alice", Epoch: 7, GameID: game, Expires: time.Now().Add(5 * time.Minute)}
}

func (o office) sign(t testing.TB, g Grant) string {
	t.Helper()
	token, err := o.Sign(g, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// forge signs claims that Sign would not make.
func (o office) forge(t testing.TB, method jwt.SigningMethod, key any, change func(header map[string]any, claims jwt.MapClaims)) string {
	t.Helper()
	c := jwt.MapClaims{
		"iss": issuer, "sub": "alice", "aud": game, "jti": "x", "epoch": 7,
		"iat": time.Now().Unix(), "nbf": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(),
	}
	tok := jwt.NewWithClaims(method, c)
	tok.Header["kid"] = o.pair().kid
	if change != nil {
		change(tok.Header, c)
	}
	s, err := tok.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestToken(t *testing.T) {
	o := newOffice(t)
	want := grant()
	got, err := o.Verify(t.Context(), o.sign(t, want), game)
	if err != nil {
		t.Fatal(err)
	}
	if got.UID != want.UID || got.Epoch != want.Epoch || got.GameID != want.GameID || got.ID == "" || got.Expires.Unix() != want.Expires.Unix() {
		t.Errorf("%+v became %+v", want, got)
	}
	again, err := o.Verify(t.Context(), o.sign(t, want), game)
	if err != nil || again.ID == got.ID {
		t.Errorf("two tokens have the ID %q, %v", again.ID, err)
	}
	// The tests below forge tokens that are refused for one thing each; this one
	// has nothing wrong.
	if _, err := o.Verify(t.Context(), o.forge(t, jwt.SigningMethodEdDSA, o.pair().private, nil), game); err != nil {
		t.Error(err)
	}
}

// Each of these tokens has one thing wrong, and is refused for it.
func TestRefusedTokens(t *testing.T) {
	o := newOffice(t)
	stranger, err := NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	friend, err := NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	if err := friend.Publish(t.Context(), o.reg); err != nil {
		t.Fatal(err)
	}
	good := o.sign(t, grant())
	parts := strings.Split(good, ".")
	claim := func(name string, v any) string {
		return o.forge(t, jwt.SigningMethodEdDSA, o.pair().private, func(_ map[string]any, c jwt.MapClaims) {
			if v == nil {
				delete(c, name)
			} else {
				c[name] = v
			}
		})
	}
	header := func(name string, v any) string {
		return o.forge(t, jwt.SigningMethodEdDSA, o.pair().private, func(h map[string]any, _ jwt.MapClaims) {
			if v == nil {
				delete(h, name)
			} else {
				h[name] = v
			}
		})
	}
	encode := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	cases := map[string]struct {
		token string
		err   error
	}{
		"empty":        {"", ErrInvalid},
		"garbage":      {"verify", ErrInvalid},
		"two parts":    {parts[0] + "." + parts[1], ErrInvalid},
		"four parts":   {good + ".x", ErrInvalid},
		"no signature": {parts[0] + "." + parts[1] + ".", ErrInvalid},
		"another body": {parts[0] + "." + encode(map[string]any{"iss": issuer, "sub": "mallory", "aud": game, "jti": "x", "exp": time.Now().Add(time.Minute).Unix()}) + "." + parts[2], ErrInvalid},
		"another head": {encode(map[string]any{"alg": "EdDSA", "kid": friend.pair().kid}) + "." + parts[1] + "." + parts[2], ErrInvalid},
		"alg none":     {o.forge(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil), ErrInvalid},
		"HS256 with the public key": {
			o.forge(t, jwt.SigningMethodHS256, []byte(o.pair().public), nil), ErrInvalid},
		"HS256 with the key's text in discovery": {
			o.forge(t, jwt.SigningMethodHS256, []byte(keyText(t, o)), nil), ErrInvalid},
		"another's key under our kid": {o.forge(t, jwt.SigningMethodEdDSA, friend.pair().private, nil), ErrInvalid},
		"our key under another's kid": {header("kid", friend.pair().kid), ErrInvalid},
		"a kid nobody published":      {header("kid", stranger.pair().kid), ErrInvalid},
		"no kid":                      {header("kid", nil), ErrInvalid},
		"a kid that is a number":      {header("kid", 7), ErrInvalid},
		"an empty kid":                {header("kid", ""), ErrInvalid},
		"expired":                     {claim("exp", time.Now().Add(-time.Minute).Unix()), ErrExpired},
		"without an end":              {claim("exp", nil), ErrInvalid},
		"not yet valid":               {claim("nbf", time.Now().Add(time.Minute).Unix()), ErrEarly},
		"from the future":             {claim("iat", time.Now().Add(time.Minute).Unix()), ErrEarly},
		"another issuer":              {claim("iss", "somebody"), ErrInvalid},
		"no issuer":                   {claim("iss", nil), ErrInvalid},
		"no uid":                      {claim("sub", nil), ErrInvalid},
		"no ID":                       {claim("jti", nil), ErrInvalid},
		"for another game":            {claim("aud", "game#1@dev"), ErrOtherAudience},
		"for two games":               {claim("aud", []string{game, "game#1@dev"}), ErrInvalid},
		"for nobody":                  {claim("aud", nil), ErrInvalid},
		"an epoch that is a word":     {claim("epoch", "seven"), ErrInvalid},
	}
	for name, c := range cases {
		g, err := o.Verify(t.Context(), c.token, game)
		if !errors.Is(err, c.err) || g != (Grant{}) {
			t.Errorf("%s: %v, %v, want %v", name, g, err, c.err)
		}
		for _, other := range []error{ErrInvalid, ErrExpired, ErrEarly, ErrOtherAudience} {
			if other != c.err && errors.Is(err, other) {
				t.Errorf("%s: %v is also %v", name, err, other)
			}
		}
	}
	for i := range good { // whatever bit is changed
		if i == len(good)-1 {
			break // has bits that no byte is made of
		}
		b := []byte(good)
		b[i] ^= 1
		if _, err := o.Verify(t.Context(), string(b), game); err == nil {
			t.Errorf("accepted with byte %d changed", i)
		}
	}
}

func keyText(t *testing.T, o office) string {
	text, ok := o.reg.Snapshot().Value(keyPrefix + o.pair().kid)
	if !ok {
		t.Fatal("no key")
	}
	return text
}

// A token ends with its time, give or take what clocks may differ.
func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		token := o.sign(t, grant())
		time.Sleep(5*time.Minute + leeway - time.Second)
		if _, err := o.Verify(t.Context(), token, game); err != nil {
			t.Errorf("within the leeway: %v", err)
		}
		time.Sleep(2 * time.Second)
		if _, err := o.Verify(t.Context(), token, game); !errors.Is(err, ErrExpired) {
			t.Errorf("after it: %v", err)
		}
	})
}

// No token may outlive its key.
func TestTokenLife(t *testing.T) {
	o := newOffice(t)
	now := time.Now()
	g := grant()
	g.Expires = now.Add(MaxTokenLife + time.Second)
	if _, err := o.Sign(g, now); err == nil || !strings.Contains(err.Error(), "30m0s") {
		t.Error(err)
	}
	g.Expires = now.Add(MaxTokenLife)
	if _, err := o.Sign(g, now); err != nil {
		t.Error(err)
	}
}

// Whatever a client shows, only what a signer has signed is a token.
func FuzzVerify(f *testing.F) {
	o := newOffice(f)
	good := o.sign(f, Grant{UID: "alice", GameID: game, Expires: time.Now().Add(MaxTokenLife)})
	f.Add(good)
	f.Add("a.b.c")
	f.Add(o.forge(f, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil))
	f.Fuzz(func(t *testing.T, token string) {
		g, err := o.Verify(t.Context(), token, game)
		if err == nil && (g.UID != "alice" || !strings.HasPrefix(token, good[:len(good)-1])) {
			t.Fatalf("%q is good for %+v", token, g)
		}
	})
}

func BenchmarkSign(b *testing.B) {
	o := newOffice(b)
	g := grant()
	b.ReportAllocs()
	for b.Loop() {
		o.Sign(g, time.Now())
	}
}

func BenchmarkVerify(b *testing.B) {
	o := newOffice(b)
	token := o.sign(b, grant())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := o.Verify(context.Background(), token, game); err != nil {
			b.Fatal(err)
		}
	}
}
