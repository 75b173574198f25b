// Package oidc is the platform for ID tokens of OpenID providers: Google,
// Apple, Microsoft, Keycloak and the like. The game client has signed in with
// the provider by the provider's own means and shows the ID token as its
// credential; LoginREQ.uid does not matter.
//
//	-platforms=oidc -oidc="google=https://accounts.google.com,123.apps.googleusercontent.com; apple=https://appleid.apple.com,com.example.game"
//
// makes the platforms "oidc:google" and "oidc:apple". Each provider is its name,
// its issuer, and one or more client IDs, of which one must be the token's
// audience. Keys come from the provider and are kept; a token with a key that
// is not known has them fetched again, every two seconds at most. Clocks may
// differ by a minute.
//
// An ID token opens one login, and others within a minute after it (-oidcagain),
// for clients whose answer was lost: who finds one later cannot use it, and its
// owner signs in again, as when it has expired. That does what a nonce is for
// without asking login for one first; a token that is stolen before its owner has
// used it is another matter, which TLS is for.
//
// oidc.go is the check, keys.go where keys come from, used.go what was used.
package oidc

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/login/platform"
	"github.com/davyxu/cellmesh_demo/util/msgmux"
)

// skew is how much the provider's clock may differ from ours.
const skew = time.Minute

// New adds the flags -oidc and -oidcagain.
func New(fs *flag.FlagSet) platform.Open {
	text := fs.String("oidc", "", "OpenID providers of platform oidc: name=issuer,clientid[,clientid...]; more behind a semicolon; clients log in with platform oidc:name")
	again := fs.Duration("oidcagain", time.Minute, "how long after its first login an ID token may log in again, for clients whose answer was lost; later its owner signs in again")
	return func(env platform.Env) (map[string]platform.Platform, error) {
		all, err := parse(*text)
		if err != nil {
			return nil, fmt.Errorf("-oidc: %w", err)
		}
		if *again < 0 {
			return nil, fmt.Errorf("-oidcagain=%v: must not be negative", *again)
		}
		found := map[string]platform.Platform{}
		for _, c := range all {
			found["oidc:"+c.name] = newProvider(env, c, fetchLimit, fetchEvery, *again)
		}
		return found, nil
	}
}

// config is one provider.
type config struct {
	name, issuer string
	clients      []string
}

func parse(text string) ([]config, error) {
	var all []config
	for part := range strings.SplitSeq(text, ";") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		name, rest, _ := strings.Cut(part, "=")
		fields := strings.Split(rest, ",")
		for i := range fields {
			fields[i] = strings.TrimSpace(fields[i])
		}
		c := config{strings.TrimSpace(name), fields[0], fields[1:]}
		switch {
		case c.name == "" || len(c.clients) == 0 || slices.Contains(fields, ""):
			return nil, fmt.Errorf("%q: want name=issuer,clientid", strings.TrimSpace(part))
		case slices.ContainsFunc(all, func(o config) bool { return o.name == c.name }):
			return nil, fmt.Errorf("there are two providers %q", c.name)
		}
		if err := platform.CheckURL(c.issuer); err != nil {
			return nil, fmt.Errorf("%s: issuer %q: %w", c.name, c.issuer, err)
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, errors.New("no provider is given: name=issuer,clientid")
	}
	return all, nil
}

// provider is one OpenID provider.
type provider struct {
	config
	keys *keys
	used *used
	now  func() time.Time
}

func newProvider(env platform.Env, c config, limit, every, again time.Duration) *provider {
	return &provider{config: c, keys: newKeys(env, c.issuer, limit, every), used: &used{env.DB, again}, now: time.Now}
}

// Verify checks an ID token.
func (p *provider) Verify(ctx context.Context, c platform.Credential) (platform.Identity, error) {
	if c.Secret == "" {
		return platform.Identity{}, msgmux.Refuse(pb.ResultCode_CredentialInvalid, "the credential is an ID token of %s", p.name)
	}
	algs, err := p.keys.known(ctx)
	if err != nil {
		return platform.Identity{}, fmt.Errorf("discovery at %s: %w", p.issuer, err)
	}
	signature := &reporting{keys: p.keys}
	v := oidc.NewVerifier(p.issuer, signature, &oidc.Config{
		SkipClientIDCheck:    true, // there may be several: below
		SupportedSigningAlgs: algs,
		Now:                  func() time.Time { return p.now().Add(-skew) }, // for the end; for the beginning it allows 5 minutes
	})
	token, err := v.Verify(ctx, string(c.Secret))
	var expired *oidc.TokenExpiredError
	switch {
	case signature.problem != nil:
		return platform.Identity{}, fmt.Errorf("keys of %s: %w", p.issuer, signature.problem)
	case errors.As(err, &expired):
		return platform.Identity{}, msgmux.Refuse(pb.ResultCode_CredentialInvalid, "the ID token has expired: sign in with %s again", p.name)
	case err != nil: // says more than a client need know, and maybe parts of the token
		return platform.Identity{}, msgmux.Refuse(pb.ResultCode_CredentialInvalid, "this is no valid ID token of %s", p.name)
	case !p.forUs(token):
		return platform.Identity{}, msgmux.Refuse(pb.ResultCode_CredentialInvalid, "the ID token of %s is for another application", p.name)
	case token.Subject == "" || len(token.Subject) > platform.MaxSubject:
		return platform.Identity{}, msgmux.Refuse(pb.ResultCode_CredentialInvalid, "the ID token of %s has no usable subject", p.name)
	}
	switch ok, err := p.used.take(ctx, signature.signed, p.now(), token.Expiry.Add(skew)); {
	case err != nil:
		return platform.Identity{}, err
	case !ok:
		return platform.Identity{}, msgmux.Refuse(pb.ResultCode_CredentialInvalid, "the ID token was used already: sign in with %s again", p.name)
	}
	return platform.Identity{Subject: token.Subject}, nil
}

// forUs reports whether one of our client IDs is the audience; of a token with
// several audiences, also whom it was issued to.
func (p *provider) forUs(token *oidc.IDToken) bool {
	if !slices.ContainsFunc(token.Audience, func(a string) bool { return slices.Contains(p.clients, a) }) {
		return false
	}
	if len(token.Audience) == 1 {
		return true
	}
	var c struct {
		Party string `json:"azp"`
	}
	return token.Claims(&c) == nil && slices.Contains(p.clients, c.Party)
}
