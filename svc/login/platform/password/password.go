// Package password is the platform whose accounts live in our own database: a
// name and a password. A client may make an account (LoginREQ.action Register)
// and change its password.
//
// Passwords are kept as argon2id hashes (19 MiB, 2 passes, as OWASP advises). A
// hash takes some 20 ms of one processor, so that only -maxhashes are made at a
// time; who waits longer than two seconds is told ServerBusy.
//
// After five wrong passwords in a row a name is locked for 30 seconds, and for
// twice as long after each further one, up to an hour; that is forgotten after a
// day. One password of a name is checked at a time. Names that do not exist are
// hashed for and locked in the same way: only Register tells what exists.
//
// password.go is the platform, accounts.go what lies in the database, hasher.go
// the hashes.
package password

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/login/platform"
	"github.com/davyxu/cellmesh_demo/util/msgmux"
)

const (
	minPassword = 8
	maxPassword = 200 // bytes: what is longer only costs us time
)

// names are the names an account can have, once in lower case.
var names = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,63}$`)

// New adds the flag -maxhashes.
func New(fs *flag.FlagSet) platform.Open {
	most := fs.Int("maxhashes", max(runtime.NumCPU()/2, 1), "passwords that platform password checks at a time: each takes a processor and 19 MiB")
	return func(env platform.Env) (map[string]platform.Platform, error) {
		if *most < 1 {
			return nil, fmt.Errorf("-maxhashes=%d: must be at least 1", *most)
		}
		h, err := newHasher(*most, strong)
		if err != nil {
			return nil, err
		}
		return map[string]platform.Platform{"password": newPasswords(accounts{env.DB}, h)}, nil
	}
}

// passwords is the platform.
type passwords struct {
	accounts accounts
	hasher   *hasher
	now      func() time.Time

	mu       sync.Mutex
	checking map[string]bool // names; as many as there are checks at most
}

func newPasswords(a accounts, h *hasher) *passwords {
	return &passwords{accounts: a, hasher: h, now: time.Now, checking: map[string]bool{}}
}

// Verify checks a password.
func (p *passwords) Verify(ctx context.Context, c platform.Credential) (platform.Identity, error) {
	name := strings.ToLower(c.Account)
	leave, err := p.enter(name)
	if err != nil {
		return platform.Identity{}, err
	}
	defer leave()
	a, err := p.check(ctx, name, c.Secret)
	return a.identity(), err
}

// Register makes an account.
func (p *passwords) Register(ctx context.Context, c platform.Credential) (platform.Identity, error) {
	name := strings.ToLower(c.Account)
	if !names.MatchString(name) {
		return platform.Identity{}, msgmux.Refuse(pb.ResultCode_BadRequest, "a name has 1 to 64 letters (a to z), digits, '_', '-' and '.', and begins with a letter or digit")
	}
	if err := usable(c.Secret); err != nil {
		return platform.Identity{}, err
	}
	leave, err := p.enter(name)
	if err != nil {
		return platform.Identity{}, err
	}
	defer leave()
	exists := msgmux.Refuse(pb.ResultCode_AccountExists, "somebody has the name %q already", name)
	if s, err := p.accounts.look(ctx, name); err != nil {
		return platform.Identity{}, err
	} else if s.hash != "" { // before it costs a hash
		return platform.Identity{}, exists
	}
	hash, err := p.hasher.hash(ctx, c.Secret)
	if err != nil {
		return platform.Identity{}, err
	}
	a, err := p.accounts.add(ctx, name, hash, p.now())
	if errors.Is(err, errExists) {
		err = exists
	}
	return a.identity(), err
}

// Change changes a password.
func (p *passwords) Change(ctx context.Context, c platform.Credential) (platform.Identity, error) {
	if err := usable(c.NewSecret); err != nil {
		return platform.Identity{}, err
	}
	name := strings.ToLower(c.Account)
	leave, err := p.enter(name)
	if err != nil {
		return platform.Identity{}, err
	}
	defer leave()
	a, err := p.check(ctx, name, c.Secret)
	if err != nil {
		return platform.Identity{}, err
	}
	hash, err := p.hasher.hash(ctx, c.NewSecret)
	if err != nil {
		return platform.Identity{}, err
	}
	return a.identity(), p.accounts.change(ctx, a.id, a.hash, hash, p.now())
}

// usable says what is wrong with a password to be.
func usable(s platform.Secret) error {
	if len(s) < minPassword || len(s) > maxPassword {
		return msgmux.Refuse(pb.ResultCode_BadRequest, "a password has %d to %d bytes", minPassword, maxPassword)
	}
	return nil
}

// enter makes sure that one login of a name is checked at a time: who sends
// many at once would have more guesses than we count.
func (p *passwords) enter(name string) (leave func(), err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.checking[name] {
		return nil, msgmux.Refuse(pb.ResultCode_RateLimited, "another login of this account is being checked")
	}
	p.checking[name] = true
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.checking, name)
	}, nil
}

// check checks one password and counts wrong ones.
func (p *passwords) check(ctx context.Context, name string, secret platform.Secret) (account, error) {
	wrong := msgmux.Refuse(pb.ResultCode_CredentialInvalid, "unknown account or wrong password")
	if !names.MatchString(name) || secret == "" || len(secret) > maxPassword {
		return account{}, wrong // nobody can have these
	}
	s, err := p.accounts.look(ctx, name)
	if err != nil {
		return account{}, err
	}
	if wait := s.locked.Sub(p.now()); wait > 0 && wait <= longest { // longer only if the clock was put back
		return account{}, msgmux.Refuse(pb.ResultCode_AccountLocked, "too many wrong passwords: try again in %v", wait.Round(time.Second)+time.Second)
	}
	right, weak, err := p.hasher.check(ctx, secret, s.hash)
	if err != nil {
		return account{}, err
	}
	if !right {
		if err := p.accounts.failed(ctx, name, p.now()); err != nil {
			return account{}, err
		}
		return account{}, wrong
	}
	if s.failures > 0 {
		if err := p.accounts.forgive(ctx, name); err != nil {
			return account{}, err
		}
	}
	if weak { // made when less was thought to be enough
		return s.account, p.strengthen(ctx, &s.account, secret)
	}
	return s.account, nil
}

// strengthen hashes a password that was right anew.
func (p *passwords) strengthen(ctx context.Context, a *account, secret platform.Secret) error {
	hash, err := p.hasher.hash(ctx, secret)
	if err != nil {
		return err
	}
	if err := p.accounts.change(ctx, a.id, a.hash, hash, p.now()); err != nil {
		return err
	}
	a.hash = hash
	return nil
}
