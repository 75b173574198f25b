package ask

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/login/platform"
	"github.com/davyxu/cellmesh_demo/util/msgmux"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// company is the service that is asked.
type company struct {
	*httptest.Server
	asked  atomic.Int32
	answer atomic.Pointer[http.HandlerFunc]
}

func newCompany(t *testing.T, answer http.HandlerFunc) *company {
	c := &company{}
	c.answer.Store(&answer)
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.asked.Add(1); (*c.answer.Load())(w, r) }))
	t.Cleanup(c.Close)
	return c
}

func open(t *testing.T, url string, rest time.Duration) *asker {
	life, end := context.WithCancel(context.Background())
	t.Cleanup(end)
	return newAsker(platform.Env{Log: slog.New(slog.DiscardHandler), Life: life}, url, "k3y", rest)
}

func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

var alice = platform.Credential{Account: "alice", Secret: "pa55word", Remote: "203.0.113.9", Version: "1.0"}

// The question is as documented, and so is what becomes of the answer.
func TestAnswers(t *testing.T) {
	c := newCompany(t, func(w http.ResponseWriter, r *http.Request) {
		var q map[string]string
		err := json.NewDecoder(r.Body).Decode(&q)
		if err != nil || r.Method != http.MethodPost || r.Header.Get("Authorization") != "Bearer k3y" || r.Header.Get("Content-Type") != "application/json" ||
			len(q) != 4 || q["account"] != "alice" || q["credential"] != "pa55word" || q["version"] != "1.0" || q["remote"] != "203.0.113.9" {
			t.Errorf("asked %v %v with %v", q, err, r.Header)
		}
		io.WriteString(w, `{"subject": "42", "name": "Alice", "more": true}`)
	})
	who, err := open(t, c.URL, time.Minute).Verify(t.Context(), alice)
	if err != nil || who != (platform.Identity{Subject: "42", Name: "Alice"}) {
		t.Errorf("%+v, %v", who, err)
	}
	for _, test := range []struct {
		status int
		body   string
		code   pb.ResultCode // 0: a failure
		asked  int32
	}{
		{401, "", pb.ResultCode_CredentialInvalid, 1},
		{403, "", pb.ResultCode_CredentialInvalid, 1},
		{404, "", pb.ResultCode_CredentialInvalid, 1},
		{423, "", pb.ResultCode_AccountLocked, 1},
		{429, "", pb.ResultCode_ServerBusy, 1},
		{500, "", 0, 1},
		{502, "", 0, 3},
		{503, "", 0, 3},
		{504, "", 0, 3},
		{301, "", 0, 1},
		{204, "", 0, 1},
		{200, "", 0, 1},
		{200, "<html>pa55word", 0, 1},
		{200, `{"subject": ""}`, 0, 1},
		{200, `{"subject": 7}`, 0, 1},
		{200, `{"subject": "` + strings.Repeat("x", 256) + `"}`, 0, 1},
		{200, `{"subject": "x", "name": "` + strings.Repeat("x", 2<<20) + `"}`, 0, 1},
	} {
		c := newCompany(t, says(test.status, test.body))
		who, err := open(t, c.URL, time.Minute).Verify(t.Context(), alice)
		var no *msgmux.Refusal
		if errors.As(err, &no) != (test.code != 0) || no != nil && no.Code != int32(test.code) || err == nil || c.asked.Load() != test.asked {
			t.Errorf("%d %.20s: %+v, %v, asked %d times", test.status, test.body, who, err, c.asked.Load())
		}
		if err != nil && strings.Contains(err.Error(), "pa55word") {
			t.Errorf("%d: the error shows the secret: %v", test.status, err)
		}
	}
}

// What fails for a moment is asked again.
func TestRetry(t *testing.T) {
	var c *company
	c = newCompany(t, func(w http.ResponseWriter, r *http.Request) {
		if c.asked.Load() < 3 {
			w.WriteHeader(503)
			return
		}
		io.WriteString(w, `{"subject": "42"}`)
	})
	if who, err := open(t, c.URL, time.Minute).Verify(t.Context(), alice); err != nil || who.Subject != "42" {
		t.Errorf("%+v, %v", who, err)
	}
}

// A service that fails is left alone for a while, then one client tries; a "no"
// is no failure.
func TestBreaker(t *testing.T) {
	c := newCompany(t, says(401, ""))
	a := open(t, c.URL, time.Hour)
	for range 3 * failures {
		a.Verify(t.Context(), alice)
	}
	if n := c.asked.Load(); n != 3*failures {
		t.Errorf("asked %d times", n)
	}
	broken, well := says(500, ""), says(200, `{"subject": "42"}`)
	c.answer.Store(&broken)
	for range 3 * failures {
		a.Verify(t.Context(), alice)
	}
	if n := c.asked.Load(); n != 4*failures {
		t.Errorf("asked %d times more while broken, want %d", n-3*failures, failures)
	}

	c.asked.Store(0)
	a = open(t, c.URL, 100*time.Millisecond)
	for range failures {
		a.Verify(t.Context(), alice)
	}
	c.answer.Store(&well)
	deadline := time.Now().Add(10 * time.Second)
	for {
		if _, err := a.Verify(t.Context(), alice); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("well again, but nobody asks")
		}
		time.Sleep(10 * time.Millisecond)
	}
	if n := c.asked.Load(); n != failures+1 {
		t.Errorf("asked %d times until well, want 1", n-failures)
	}
}

// overdue is a context whose deadline has passed when over is closed.
type overdue struct {
	context.Context
	over chan struct{}
}

func (o overdue) Done() <-chan struct{} { return o.over }

func (o overdue) Err() error {
	select {
	case <-o.over:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// Nobody listens; somebody listens and says nothing: a failure, in time.
func TestAway(t *testing.T) {
	ctx := overdue{context.Background(), make(chan struct{})}
	c := newCompany(t, func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		close(ctx.over) // the time of who has asked
		<-r.Context().Done()
	})
	a := open(t, c.URL, time.Minute)
	if _, err := a.Verify(ctx, alice); !errors.Is(err, context.DeadlineExceeded) || c.asked.Load() != 1 {
		t.Errorf("%v, asked %d times", err, c.asked.Load())
	}
	c.Close()
	if _, err := open(t, c.URL, time.Minute).Verify(t.Context(), alice); err == nil || isRefusal(err) {
		t.Errorf("%v", err)
	}
}
