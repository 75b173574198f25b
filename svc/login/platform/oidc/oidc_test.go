package oidc

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/login/platform"
	"github.com/davyxu/cellmesh_demo/util/msgmux"
	"github.com/davyxu/cellmesh_demo/util/sqldb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// every is how often the same is asked at most, where that is to happen again.
const every = 300 * time.Millisecond

// issuer is an OpenID provider on loopback.
type issuer struct {
	t       *testing.T
	url     string
	fetched atomic.Int32 // keys

	mu       sync.Mutex
	keys     []jose.JSONWebKey
	misplace func(w http.ResponseWriter, r *http.Request) bool // answers instead
}

func newIssuer(t *testing.T) *issuer {
	i := &issuer{t: t}
	s := httptest.NewServer(i)
	t.Cleanup(s.Close)
	i.url = s.URL
	return i
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	keys, misplace := i.keys, i.misplace
	i.mu.Unlock()
	if misplace != nil && misplace(w, r) {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		json.NewEncoder(w).Encode(map[string]any{
			"issuer": i.url, "jwks_uri": i.url + "/keys", "authorization_endpoint": i.url, "token_endpoint": i.url,
			"id_token_signing_alg_values_supported": []string{"RS256", "ES256", "HS256", "none"},
		})
	case "/keys":
		i.fetched.Add(1)
		json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: keys})
	default:
		http.NotFound(w, r)
	}
}

func (i *issuer) does(misplace func(w http.ResponseWriter, r *http.Request) bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.misplace = misplace
}

// rotate gives the provider a new key beside those it has.
func (i *issuer) rotate(kid string, public crypto.PublicKey) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = append(i.keys, jose.JSONWebKey{Key: public, KeyID: kid, Use: "sig"})
}

var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

func ecKey(t *testing.T) *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// token makes an ID token; change may change its claims.
func (i *issuer) token(kid string, method jwt.SigningMethod, key any, change func(jwt.MapClaims)) platform.Credential {
	i.t.Helper()
	now := time.Now()
	claims := jwt.MapClaims{"iss": i.url, "sub": "1234567890", "aud": "game", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	if change != nil {
		change(claims)
	}
	t := jwt.NewWithClaims(method, claims)
	t.Header["kid"] = kid
	text, err := t.SignedString(key)
	if err != nil {
		i.t.Fatal(err)
	}
	return platform.Credential{Secret: platform.Secret(text)}
}

// open makes the platform, which waits so long for an answer, and asks the same
// so often at most.
func (i *issuer) open(limit, every time.Duration) *provider {
	return i.openWith(filepath.Join(i.t.TempDir(), "x.db"), limit, every)
}

// openWith makes it with a database that others may have, too.
func (i *issuer) openWith(file string, limit, every time.Duration) *provider {
	i.t.Helper()
	db, err := sqldb.Open("sqlite:"+file, sqldb.Options{}, Tables())
	if err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(func() { db.Close() })
	if err := db.Prepare(i.t.Context()); err != nil {
		i.t.Fatal(err)
	}
	life, end := context.WithCancel(context.Background())
	i.t.Cleanup(end)
	env := platform.Env{Log: slog.New(slog.DiscardHandler), Life: life, DB: db}
	return newProvider(env, config{"test", i.url, []string{"other", "game"}}, limit, every, time.Minute)
}

func isRefused(err error) bool {
	var no *msgmux.Refusal
	return errors.As(err, &no) && no.Code == int32(pb.ResultCode_CredentialInvalid)
}

// patience bounds every wait.
const patience = 20 * time.Second

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// Good tokens are taken, others are refused.
func TestTokens(t *testing.T) {
	i := newIssuer(t)
	i.rotate("a", rsaKey().Public())
	i.rotate("e", ecKey(t).Public())
	p := i.open(time.Minute, time.Hour)
	set := func(name string, value any) func(jwt.MapClaims) {
		return func(c jwt.MapClaims) { c[name] = value }
	}
	in := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	rs := jwt.SigningMethodRS256
	public, err := json.Marshal(i.keys[0])
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]platform.Credential{
		"plain":            i.token("a", rs, rsaKey(), nil),
		"several for us":   i.token("a", rs, rsaKey(), func(c jwt.MapClaims) { c["aud"] = []string{"x", "game"}; c["azp"] = "other" }),
		"clock behind":     i.token("a", rs, rsaKey(), set("exp", in(-skew/2))),
		"clock ahead":      i.token("a", rs, rsaKey(), func(c jwt.MapClaims) { c["nbf"], c["iat"] = in(skew), in(skew) }),
		"no key ID at all": i.token("", rs, rsaKey(), nil),
	} {
		if who, err := p.Verify(t.Context(), c); err != nil || who != (platform.Identity{Subject: "1234567890"}) {
			t.Errorf("%s: %+v, %v", name, who, err)
		}
	}
	good := string(i.token("a", rs, rsaKey(), nil).Secret)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]platform.Credential{
		"nothing":               {},
		"garbage":               {Secret: "garbage"},
		"dots":                  {Secret: ".."},
		"huge":                  {Secret: platform.Secret(strings.Repeat("x", 16_000))},
		"tampered":              {Secret: platform.Secret(good[:len(good)-20] + "AAAAAAAAAAAAAAAAAAAA")},
		"expired":               i.token("a", rs, rsaKey(), set("exp", in(-2*skew))),
		"no end":                i.token("a", rs, rsaKey(), func(c jwt.MapClaims) { delete(c, "exp") }),
		"not yet valid":         i.token("a", rs, rsaKey(), set("nbf", in(time.Hour))),
		"another audience":      i.token("a", rs, rsaKey(), set("aud", "somebody")),
		"no audience":           i.token("a", rs, rsaKey(), func(c jwt.MapClaims) { delete(c, "aud") }),
		"issued to another":     i.token("a", rs, rsaKey(), func(c jwt.MapClaims) { c["aud"] = []string{"x", "game"}; c["azp"] = "x" }),
		"another issuer":        i.token("a", rs, rsaKey(), set("iss", "https://accounts.google.com")),
		"no subject":            i.token("a", rs, rsaKey(), set("sub", "")),
		"a subject too long":    i.token("a", rs, rsaKey(), set("sub", strings.Repeat("x", 256))),
		"another key":           i.token("a", rs, other, nil),
		"a key of another kind": i.token("e", rs, rsaKey(), nil),
		"unknown key ID":        i.token("z", rs, rsaKey(), nil),
		"none":                  i.token("a", jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil),
		"HS256 with public key": i.token("a", jwt.SigningMethodHS256, public, nil),
		"an algorithm it lacks": i.token("a", jwt.SigningMethodRS512, rsaKey(), nil),
	} {
		who, err := p.Verify(t.Context(), c)
		if !isRefused(err) {
			t.Errorf("%s: %+v, %v", name, who, err)
		}
		if c.Secret != "" && err != nil && strings.Contains(err.Error(), string(c.Secret)) {
			t.Errorf("%s: the error shows the token: %v", name, err)
		}
	}
	if n := i.fetched.Load(); n != 1 {
		t.Errorf("keys were fetched %d times", n)
	}
}

// A token logs in once, at whichever login, and again for a minute only; in the
// end nothing is left of it.
func TestUsed(t *testing.T) {
	i := newIssuer(t)
	key := ecKey(t)
	i.rotate("e", key.Public())
	file := filepath.Join(t.TempDir(), "x.db")
	here, there := i.openWith(file, time.Minute, time.Hour), i.openWith(file, time.Minute, time.Hour)
	now := time.Now()
	here.now = func() time.Time { return now }
	there.now = here.now
	c := i.token("e", jwt.SigningMethodES256, key, nil)
	other := i.token("e", jwt.SigningMethodES256, key, func(c jwt.MapClaims) { c["jti"] = "other" })
	verify := func(p *provider, c platform.Credential) error { _, err := p.Verify(t.Context(), c); return err }
	for _, p := range []*provider{here, there, here} {
		if err := verify(p, c); err != nil {
			t.Errorf("used lately: %v", err)
		}
	}
	now = now.Add(time.Minute + time.Second)
	for _, p := range []*provider{here, there} {
		if err := verify(p, c); !isRefused(err) || !strings.Contains(err.Error(), "was used already: sign in with test again") {
			t.Errorf("used a minute ago: %v", err)
		}
	}
	for name, text := range disguised(t, string(c.Secret)) {
		if err := verify(there, platform.Credential{Secret: platform.Secret(text)}); !isRefused(err) {
			t.Errorf("used a minute ago, with %s: %v", name, err)
		}
	}
	if err := verify(there, other); err != nil {
		t.Errorf("another token: %v", err)
	}
	now = now.Add(time.Hour)
	last := i.token("e", jwt.SigningMethodES256, key, func(c jwt.MapClaims) { c["exp"] = now.Add(time.Hour).Unix() })
	if err := verify(here, last); err != nil {
		t.Error(err)
	}
	if err := verify(here, c); !isRefused(err) || !strings.Contains(err.Error(), "has expired") {
		t.Errorf("used an hour ago: %v", err)
	}
	err := here.used.db.Read(t.Context(), func(ctx context.Context, tx sqldb.Tx) error {
		n := 0
		if err := tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM oidc_used").Scan(&n); err != nil || n != 1 {
			t.Errorf("%d tokens are remembered, %v", n, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// disguised is an ES256 token in other words, some of which are as good.
func disguised(t *testing.T, text string) map[string]string {
	t.Helper()
	parts := strings.Split(text, ".")
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		t.Fatal(err)
	}
	s := new(big.Int).SetBytes(signature[32:]) // of (r, s) also (r, -s) is a signature
	s.Sub(elliptic.P256().Params().N, s).FillBytes(signature[32:])
	bits := func(s string) string { // that mean nothing, in the last letter
		const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
		return s[:len(s)-1] + string(letters[strings.IndexByte(letters, s[len(s)-1])^1])
	}
	return map[string]string{
		"another signature":  parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(signature),
		"a line break":       parts[0] + "\n." + text[len(parts[0])+1:],
		"a space":            parts[0] + ". " + text[len(parts[0])+1:],
		"other bits in head": bits(parts[0]) + "." + parts[1] + "." + parts[2],
		"other bits in body": parts[0] + "." + bits(parts[1]) + "." + parts[2],
		"JSON around it":     fmt.Sprintf(`{"payload":%q,"protected":%q,"signature":%q,"header":{"x":".%s."}}`, parts[1], parts[0], parts[2], parts[1]),
	}
}

// Keys are kept; a new one is found, if not at once; one that is gone still
// counts until keys are fetched again, and not afterwards.
func TestRotation(t *testing.T) {
	i := newIssuer(t)
	i.rotate("a", rsaKey().Public())
	p := i.open(time.Minute, every)
	verify := func(c platform.Credential) error { _, err := p.Verify(t.Context(), c); return err }
	for range 10 {
		if err := verify(i.token("a", jwt.SigningMethodRS256, rsaKey(), nil)); err != nil {
			t.Fatal(err)
		}
	}
	if n := i.fetched.Load(); n != 1 {
		t.Errorf("keys were fetched %d times", n)
	}
	next := ecKey(t)
	i.mu.Lock()
	i.keys = nil
	i.mu.Unlock()
	i.rotate("b", next.Public())
	eventually(t, "the new key is found", func() bool {
		return verify(i.token("b", jwt.SigningMethodES256, next, nil)) == nil
	})
	eventually(t, "the old key is gone", func() bool { // the library tells of new keys a moment before it forgets the others
		return isRefused(verify(i.token("a", jwt.SigningMethodRS256, rsaKey(), nil)))
	})
	if n := i.fetched.Load(); n > 3 {
		t.Errorf("keys were fetched %d times", n)
	}
}

// A provider that is away, slow or broken is a failure and no refusal; it may
// be so from the start, and what it says is asked for again.
func TestBroken(t *testing.T) {
	answer := func(path string, status int, body string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != path {
				return false
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			w.Write([]byte(body))
			return true
		}
	}
	const about, keys = "/.well-known/openid-configuration", "/keys"
	huge := `{"keys": ["` + strings.Repeat("x", 2<<20) + `"]}`
	for name, misplace := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"discovery fails":        answer(about, 500, "broken"),
		"discovery is garbage":   answer(about, 200, "<html>"),
		"discovery is another's": answer(about, 200, `{"issuer": "https://evil.example", "jwks_uri": "https://evil.example/keys"}`),
		"discovery is huge":      answer(about, 200, huge),
		"discovery redirects":    answer(about, 302, ""),
		"keys fail":              answer(keys, 503, "broken"),
		"keys are garbage":       answer(keys, 200, "<html>"),
		"keys are none":          answer(keys, 200, `{"keys": 7}`),
		"keys are huge":          answer(keys, 200, huge),
		"nobody answers":         func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newIssuer(t)
			i.rotate("a", rsaKey().Public())
			p := i.open(time.Second, every)
			g := platform.NewGuard(p, 10, 500*time.Millisecond)
			t.Cleanup(g.Wait)
			c := i.token("a", jwt.SigningMethodRS256, rsaKey(), nil)
			i.does(misplace)
			start := time.Now()
			if _, err := g.Check(t.Context(), pb.LoginREQ_LogIn, c); !errors.Is(err, platform.ErrFailed) || strings.Contains(err.Error(), string(c.Secret)) {
				t.Errorf("%v", err)
			}
			if took := time.Since(start); took > patience/2 {
				t.Errorf("took %v", took)
			}
			i.does(nil)
			eventually(t, "it is well again", func() bool {
				_, err := g.Check(t.Context(), pb.LoginREQ_LogIn, c)
				return err == nil
			})
		})
	}
}

func TestParse(t *testing.T) {
	all, err := parse(" google = https://accounts.google.com , a, b ; dev=http://127.0.0.1:1/realm,c;")
	if err != nil || len(all) != 2 || all[0].name != "google" || all[0].issuer != "https://accounts.google.com" || len(all[0].clients) != 2 || all[1].clients[0] != "c" {
		t.Errorf("%+v, %v", all, err)
	}
	for _, bad := range []string{"", ";", "google", "google=https://x.example", "=https://x.example,a", "g=http://x.example,a", "g=https://x.example,a,", "g=https://x.example,a;g=https://y.example,b", "g=file:///x,a", "g=https://u:p@x.example,a"} {
		if all, err := parse(bad); err == nil {
			t.Errorf("%q is taken: %+v", bad, all)
		}
	}
}
