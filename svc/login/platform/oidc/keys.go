package oidc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/davyxu/cellmesh_demo/svc/login/platform"
)

const (
	// fetchLimit bounds each question to the provider.
	fetchLimit = 4 * time.Second
	// fetchEvery is how often the same is asked of the provider at most: whoever
	// sends tokens with made-up keys shall not make us ask more.
	fetchEvery = 2 * time.Second
)

// allowed are the algorithms that a token may be signed with, if its provider
// says so, too. None of them works without the provider's private key.
var allowed = []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.EdDSA}

// keys are a provider's public keys. What the provider says about itself is
// asked for at the first login, not at start: login starts without it.
type keys struct {
	issuer string
	ctx    context.Context // has the client that asks

	asking chan struct{} // capacity 1: held by who asks the provider about itself
	mu     sync.Mutex
	set    *oidc.RemoteKeySet // nil: not known yet
	algs   []string
}

func newKeys(env platform.Env, issuer string, limit, every time.Duration) *keys {
	client := platform.NewClient(env.Life, limit)
	client.Transport = &seldom{next: client.Transport, every: every, last: map[string]*answer{}}
	return &keys{issuer: issuer, ctx: oidc.ClientContext(context.Background(), client), asking: make(chan struct{}, 1)}
}

// known makes sure that it is known where the keys are, and returns the
// algorithms that they are for.
func (k *keys) known(ctx context.Context) ([]string, error) {
	if set, algs := k.get(); set != nil {
		return algs, nil
	}
	select {
	case k.asking <- struct{}{}:
		defer func() { <-k.asking }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if set, algs := k.get(); set != nil {
		return algs, nil
	}
	p, err := oidc.NewProvider(k.ctx, k.issuer)
	if err != nil {
		return nil, err
	}
	var says struct {
		KeysURL string   `json:"jwks_uri"`
		Algs    []string `json:"id_token_signing_alg_values_supported"`
	}
	if err := p.Claims(&says); err != nil {
		return nil, err
	}
	if err := platform.CheckURL(says.KeysURL); err != nil {
		return nil, fmt.Errorf("jwks_uri %q: %w", says.KeysURL, err)
	}
	algs := slices.DeleteFunc(says.Algs, func(a string) bool { return !slices.Contains(allowed, a) })
	if len(algs) == 0 {
		algs = []string{oidc.RS256} // which every provider must have
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.set, k.algs = oidc.NewRemoteKeySet(k.ctx, says.KeysURL), algs
	return algs, nil
}

func (k *keys) get() (*oidc.RemoteKeySet, []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.set, k.algs
}

// reporting is the key set for one token. It tells the caller what was signed, and
// tells apart that the signature is wrong and that the keys could not be had.
type reporting struct {
	keys    *keys
	signed  []byte
	problem error
}

// VerifySignature is called by the verifier.
func (r *reporting) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	set, _ := r.keys.get()
	payload, err := set.VerifySignature(ctx, jwt)
	if cause := errors.Unwrap(err); cause != nil { // a wrong signature wraps nothing
		r.problem = cause
	} else if ctx.Err() != nil {
		r.problem = ctx.Err()
	}
	r.signed = payload
	return payload, err
}

// seldom asks for the same only so often, and gives the last answer meanwhile.
// It takes nothing but JSON for an answer.
type seldom struct {
	next  http.RoundTripper
	every time.Duration
	mu    sync.Mutex
	last  map[string]*answer // by URL: there are two
}

// answer is what was got.
type answer struct {
	mu   sync.Mutex // held while it is asked for
	at   time.Time
	head http.Header
	body []byte
	err  error
}

func (s *seldom) RoundTrip(req *http.Request) (*http.Response, error) {
	s.mu.Lock()
	a := s.last[req.URL.String()]
	if a == nil {
		a = &answer{}
		s.last[req.URL.String()] = a
	}
	s.mu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.at.IsZero() || time.Since(a.at) >= s.every {
		a.head, a.body, a.err = s.fetch(req)
		a.at = time.Now()
	}
	if a.err != nil {
		return nil, a.err
	}
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
		Header: a.head, Body: io.NopCloser(bytes.NewReader(a.body)), ContentLength: int64(len(a.body)),
	}, nil
}

func (s *seldom) fetch(req *http.Request) (http.Header, []byte, error) {
	resp, err := s.next.RoundTrip(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("answer %s", resp.Status)
	}
	body, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return nil, nil, err
	case !json.Valid(body):
		return nil, nil, errors.New("the answer is not JSON")
	}
	return resp.Header, body, nil
}
