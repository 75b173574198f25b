package password

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alexedwards/argon2id"
	"go.uber.org/goleak"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/login/platform"
	"github.com/davyxu/cellmesh_demo/util/msgmux"
	"github.com/davyxu/cellmesh_demo/util/sqldb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quick are parameters for tests that hash a lot.
var quick = argon2id.Params{Memory: 64, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32}

func open(t *testing.T, file string, params argon2id.Params) *passwords {
	t.Helper()
	db, err := sqldb.Open("sqlite:"+file, sqldb.Options{}, Tables())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := db.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	h, err := newHasher(2, params)
	if err != nil {
		t.Fatal(err)
	}
	return newPasswords(accounts{db}, h)
}

func temp(t *testing.T) string { return filepath.Join(t.TempDir(), "x.db") }

// want checks who c is, or with what code it is refused.
func want(t *testing.T, do func(context.Context, platform.Credential) (platform.Identity, error), c platform.Credential, code pb.ResultCode) platform.Identity {
	t.Helper()
	who, err := do(t.Context(), c)
	var no *msgmux.Refusal
	switch {
	case err == nil && code == 0:
	case !errors.As(err, &no) || no.Code != int32(code):
		t.Errorf("%s: %+v, %v, want %v", c.Account, who, err, code)
	}
	if err != nil && (strings.Contains(err.Error(), string(c.Secret)) && c.Secret != "" || strings.Contains(err.Error(), "argon2id$")) {
		t.Errorf("%s: the error shows a secret: %v", c.Account, err)
	}
	return who
}

func shows(account, secret string) platform.Credential {
	return platform.Credential{Account: account, Secret: platform.Secret(secret)}
}

// An account from its making to its second password.
func TestAccount(t *testing.T) {
	p := open(t, temp(t), quick)
	alice := shows("Alice", "correct horse")
	want(t, p.Verify, alice, pb.ResultCode_CredentialInvalid)
	who := want(t, p.Register, alice, 0)
	if who.Name != "alice" || len(who.Subject) < 20 {
		t.Errorf("%+v", who)
	}
	want(t, p.Register, shows("ALICE", "something else"), pb.ResultCode_AccountExists)
	for _, name := range []string{"alice", "Alice"} {
		if again := want(t, p.Verify, shows(name, "correct horse"), 0); again != who {
			t.Errorf("%+v, %+v", again, who)
		}
	}
	want(t, p.Verify, shows("alice", "Correct horse"), pb.ResultCode_CredentialInvalid)
	change := shows("alice", "a wrong one")
	change.NewSecret = "battery staple"
	want(t, p.Change, change, pb.ResultCode_CredentialInvalid)
	change.Secret = "correct horse"
	if again := want(t, p.Change, change, 0); again != who {
		t.Errorf("%+v, %+v", again, who)
	}
	want(t, p.Verify, alice, pb.ResultCode_CredentialInvalid)
	want(t, p.Verify, shows("alice", "battery staple"), 0)
	change.Secret, change.NewSecret = "battery staple", "short"
	want(t, p.Change, change, pb.ResultCode_BadRequest)
}

// What is no name or no password is refused with a reason, and costs no hash.
func TestNonsense(t *testing.T) {
	p := open(t, temp(t), strong)
	start := time.Now()
	for _, name := range []string{"", " alice", "al ice", "älice", "-alice", strings.Repeat("x", 65), "alice\x00", "alice\n", "' OR 1=1 --"} {
		want(t, p.Register, shows(name, "correct horse"), pb.ResultCode_BadRequest)
		want(t, p.Verify, shows(name, "correct horse"), pb.ResultCode_CredentialInvalid)
	}
	for _, secret := range []string{"", "1234567", strings.Repeat("x", 201)} {
		want(t, p.Register, shows("alice", secret), pb.ResultCode_BadRequest)
	}
	want(t, p.Verify, shows("alice", ""), pb.ResultCode_CredentialInvalid)
	want(t, p.Verify, shows("alice", strings.Repeat("x", 16_000)), pb.ResultCode_CredentialInvalid)
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

// Wrong passwords lock a name, whether anybody has it or not and at whichever
// login, for ever longer; time and the right one forgive.
func TestLockOut(t *testing.T) {
	file := temp(t)
	p, q := open(t, file, quick), open(t, file, quick)
	now := time.Now()
	p.now = func() time.Time { return now }
	q.now = p.now
	want(t, p.Register, shows("alice", "correct horse"), 0)
	for _, name := range []string{"alice", "nobody"} {
		right := pb.ResultCode_CredentialInvalid
		if name == "alice" {
			right = 0
		}
		guess := shows(name, "wrong guess")
		for i := range free {
			want(t, []*passwords{p, q}[i%2].Verify, guess, pb.ResultCode_CredentialInvalid)
		}
		lock := firstLock
		for range 12 {
			want(t, p.Verify, guess, pb.ResultCode_AccountLocked)
			want(t, q.Verify, shows(name, "correct horse"), pb.ResultCode_AccountLocked)
			now = now.Add(lock - time.Second)
			want(t, p.Verify, guess, pb.ResultCode_AccountLocked)
			now = now.Add(2 * time.Second)
			want(t, q.Verify, guess, pb.ResultCode_CredentialInvalid)
			lock = min(2*lock, longest)
		}
		now = now.Add(longest)
		want(t, p.Verify, shows(name, "correct horse"), right)
	}
	for range free - 1 {
		want(t, p.Verify, shows("alice", "wrong guess"), pb.ResultCode_CredentialInvalid)
	}
	want(t, p.Verify, shows("alice", "correct horse"), 0) // forgives
	for range free - 1 {
		want(t, p.Verify, shows("alice", "wrong guess"), pb.ResultCode_CredentialInvalid)
	}
	now = now.Add(forgotten + time.Second)
	for range free {
		want(t, p.Verify, shows("alice", "wrong guess"), pb.ResultCode_CredentialInvalid)
	}
	want(t, p.Verify, shows("alice", "correct horse"), pb.ResultCode_AccountLocked)
	now = now.Add(-30 * 24 * time.Hour) // a clock that was wrong is put right
	want(t, p.Verify, shows("alice", "correct horse"), 0)
	for range free {
		want(t, p.Verify, shows("alice", "wrong guess"), pb.ResultCode_CredentialInvalid)
	}
	want(t, p.Verify, shows("alice", "correct horse"), pb.ResultCode_AccountLocked)
	p.accounts.db.Read(t.Context(), func(ctx context.Context, tx sqldb.Tx) error {
		n := 0
		if err := tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM password_failures").Scan(&n); err != nil || n != 1 {
			t.Errorf("%d names with failures are kept, %v", n, err)
		}
		return nil
	})
}

// Many guesses at once are not more guesses.
func TestManyAtOnce(t *testing.T) {
	p := open(t, temp(t), quick)
	want(t, p.Register, shows("alice", "correct horse"), 0)
	var tried atomic.Int32
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			_, err := p.Verify(t.Context(), shows("alice", fmt.Sprint("guess ", i)))
			var no *msgmux.Refusal
			if !errors.As(err, &no) {
				t.Error(err)
			} else if no.Code == int32(pb.ResultCode_CredentialInvalid) {
				tried.Add(1)
			}
		})
	}
	all.Wait()
	if n := tried.Load(); n > free {
		t.Errorf("%d guesses were tried, at most %d may", n, free)
	}
}

// Of many who register one name at once, through two databases, one gets it.
func TestRegisterRace(t *testing.T) {
	file := temp(t)
	both := []*passwords{open(t, file, quick), open(t, file, quick)}
	var made atomic.Int32
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			if _, err := both[i%2].Register(context.Background(), shows("alice", "correct horse")); err == nil {
				made.Add(1)
			}
		})
	}
	all.Wait()
	if made.Load() != 1 {
		t.Errorf("%d have got the name", made.Load())
	}
}

// A hash of other parameters is right, and made anew.
func TestStrengthen(t *testing.T) {
	file := temp(t)
	want(t, open(t, file, quick).Register, shows("alice", "correct horse"), 0)
	better := quick
	better.Iterations = 2
	p := open(t, file, better)
	for range 2 {
		want(t, p.Verify, shows("alice", "correct horse"), 0)
		s, err := p.accounts.look(t.Context(), "alice")
		if err != nil || !strings.Contains(s.hash, "m=64,t=2,p=1") {
			t.Errorf("%s, %v", s.hash, err)
		}
	}
}

// It takes as long to be told "no" for a name that exists as for one that does
// not.
func TestSameTime(t *testing.T) {
	p := open(t, temp(t), strong)
	for i := range 3 {
		want(t, p.Register, shows(fmt.Sprint("user", i), "correct horse"), 0)
	}
	later := time.Duration(0)
	p.now = func() time.Time { return time.Now().Add(later) }
	known, unknown := time.Hour, time.Hour // the quickest: the others were disturbed
	for i := range 90 {
		for name, least := range map[string]*time.Duration{"user": &known, "nobody": &unknown} {
			start := time.Now()
			want(t, p.Verify, shows(fmt.Sprint(name, i%3), "wrong guess"), pb.ResultCode_CredentialInvalid)
			*least = min(*least, time.Since(start))
		}
		if i >= 8 && known <= 2*unknown && unknown <= 2*known {
			return
		}
		later += forgotten // no name is locked
	}
	t.Errorf("%v for names that exist, %v for others", known, unknown)
}

// When all processors hash, the next is told so in time.
func TestBusy(t *testing.T) {
	p := open(t, temp(t), quick)
	for range cap(p.hasher.slots) {
		p.hasher.slots <- struct{}{}
	}
	want(t, p.Verify, shows("alice", "correct horse"), pb.ResultCode_ServerBusy)
}
