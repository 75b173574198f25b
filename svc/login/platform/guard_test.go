package platform

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/util/msgmux"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type verify func(context.Context, Credential) (Identity, error)

func (f verify) Verify(ctx context.Context, c Credential) (Identity, error) { return f(ctx, c) }

func code(err error) pb.ResultCode {
	var no *msgmux.Refusal
	if !errors.As(err, &no) {
		return 0
	}
	return pb.ResultCode(no.Code)
}

// A platform that hangs, whatever its context says, holds so many checks and no
// more, and each client is told in time.
func TestHanging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		g := NewGuard(verify(func(context.Context, Credential) (Identity, error) { <-hang; return Identity{Subject: "x"}, nil }), 2, time.Second)
		start := time.Now()
		errs := make(chan error, 2)
		for range 2 {
			go func() { _, err := g.Check(t.Context(), pb.LoginREQ_LogIn, Credential{}); errs <- err }()
		}
		synctest.Wait()
		if _, err := g.Check(t.Context(), pb.LoginREQ_LogIn, Credential{}); code(err) != pb.ResultCode_ServerBusy || time.Since(start) > 0 {
			t.Errorf("one too many: %v after %v", err, time.Since(start))
		}
		for range 2 {
			if err := <-errs; !errors.Is(err, ErrFailed) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v", err)
			}
		}
		if took := time.Since(start); took != time.Second || g.Busy() != 2 || g.Full.Load() != 1 || g.Failed.Load() != 2 {
			t.Errorf("after %v: %d busy, %d full, %d failed", took, g.Busy(), g.Full.Load(), g.Failed.Load())
		}
		close(hang)
		g.Wait()
		if who, err := g.Check(t.Context(), pb.LoginREQ_LogIn, Credential{}); err != nil || who.Subject != "x" || g.Busy() != 0 {
			t.Errorf("%v, %v, %d busy", who, err, g.Busy())
		}
	})
}

// What a platform says is passed on, if it is of use.
func TestOutcomes(t *testing.T) {
	for name, c := range map[string]struct {
		f    verify
		code pb.ResultCode
	}{
		"refusal": {func(context.Context, Credential) (Identity, error) {
			return Identity{}, msgmux.Refuse(pb.ResultCode_AccountLocked, "no")
		}, pb.ResultCode_AccountLocked},
		"error":      {func(context.Context, Credential) (Identity, error) { return Identity{}, errors.New("broken") }, 0},
		"panic":      {func(context.Context, Credential) (Identity, error) { panic("broken") }, 0},
		"no subject": {func(context.Context, Credential) (Identity, error) { return Identity{}, nil }, 0},
		"too long": {func(context.Context, Credential) (Identity, error) {
			return Identity{Subject: strings.Repeat("x", 256)}, nil
		}, 0},
	} {
		_, err := NewGuard(c.f, 1, time.Minute).Check(t.Context(), pb.LoginREQ_LogIn, Credential{})
		if err == nil || code(err) != c.code || errors.Is(err, ErrFailed) != (c.code == 0) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p := verify(func(context.Context, Credential) (Identity, error) { return Identity{Subject: "x"}, nil })
	for action, want := range map[pb.LoginREQ_Action]pb.ResultCode{pb.LoginREQ_LogIn: 0, pb.LoginREQ_Register: pb.ResultCode_BadRequest, pb.LoginREQ_ChangeCredential: pb.ResultCode_BadRequest, 7: pb.ResultCode_BadRequest} {
		if _, err := NewGuard(p, 1, time.Minute).Check(t.Context(), action, Credential{}); code(err) != want {
			t.Errorf("%v: %v", action, err)
		}
	}
}

// However a secret is printed, it does not show.
func TestSecret(t *testing.T) {
	c := Credential{Account: "alice", Secret: "pa55word", NewSecret: "pa55word2"}
	var b strings.Builder
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "secret", c.Secret, "credential", c)
	fmt.Fprintf(&b, "%v %+v %#v %s %q %x", c, c, c, c.Secret, c.Secret, c.Secret)
	if strings.Contains(b.String(), "pa55") || strings.Contains(b.String(), "70613535") {
		t.Error(b.String())
	}
}

func TestCheckURL(t *testing.T) {
	for _, good := range []string{"https://example.com/x", "http://127.0.0.1:1/", "http://localhost/x", "http://[::1]:80/"} {
		if err := CheckURL(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "example.com", "http://example.com", "ftp://example.com", "https://", "https://a:b@example.com", "http://127.0.0.1.example.com", "http://%"} {
		if CheckURL(bad) == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}
