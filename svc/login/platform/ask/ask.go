// Package ask is the platform "http": it asks a service of the company, which
// has the accounts, whose account it is.
//
// For every login there is a POST to -platformurl:
//
//	Authorization: Bearer <-platformkey, if set>
//	Content-Type: application/json
//
//	{"account": "...", "credential": "...", "version": "1.0", "remote": "203.0.113.9"}
//
// and these answers:
//
//	200  {"subject": "...", "name": "..."}   who it is. subject names the account for ever; name,
//	                                         if there is one, is the uid that it would like
//	401, 403, 404                            unknown account or wrong credential
//	423                                      the account is locked
//	429                                      the service is asked too much: the client tries again later
//
// Any other answer, none within 3 s, one that is not JSON or larger than 1 MiB
// is a failure. 502, 503, 504 and a connection that could not be made are asked
// again, twice, after 50 ms and more: nobody has looked at the question then.
// After five failures in a row the service is left alone for 5 s and clients
// are told at once; then one of them tries. There is one file.
package ask

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/sony/gobreaker/v2"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/login/platform"
	"github.com/davyxu/cellmesh_demo/util/msgmux"
)

const (
	askLimit  = 3 * time.Second // for one question
	tries     = 3
	failures  = 5               // in a row, and the service is left alone
	leftAlone = 5 * time.Second // for so long
)

// New adds the flags -platformurl and -platformkey.
func New(fs *flag.FlagSet) platform.Open {
	url := fs.String("platformurl", "", "where platform http asks who a client is (POST of JSON); https, or http on loopback")
	key := fs.String("platformkey", "", "key that login shows there (Authorization: Bearer); better by CELLMESH_PLATFORMKEY")
	return func(env platform.Env) (map[string]platform.Platform, error) {
		if err := platform.CheckURL(*url); err != nil {
			return nil, fmt.Errorf("-platformurl=%s: %w", *url, err)
		}
		return map[string]platform.Platform{"http": newAsker(env, *url, platform.Secret(*key), leftAlone)}, nil
	}
}

// asker is the platform.
type asker struct {
	url     string
	key     platform.Secret
	client  *http.Client
	breaker *gobreaker.CircuitBreaker[platform.Identity]
}

func newAsker(env platform.Env, url string, key platform.Secret, rest time.Duration) *asker {
	return &asker{
		url: url, key: key, client: platform.NewClient(env.Life, askLimit),
		breaker: gobreaker.NewCircuitBreaker[platform.Identity](gobreaker.Settings{
			Name: "http", MaxRequests: 1, Timeout: rest,
			ReadyToTrip:   func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= failures },
			IsSuccessful:  func(err error) bool { return err == nil || isRefusal(err) || errors.Is(err, context.Canceled) },
			OnStateChange: func(_ string, from, to gobreaker.State) { tell(env.Log, url, from, to) },
		}),
	}
}

// tell tells the operator about the breaker.
func tell(log *slog.Logger, url string, from, to gobreaker.State) {
	switch {
	case to == gobreaker.StateOpen:
		log.Error("platform http fails and is left alone for a while", "url", url)
	case from == gobreaker.StateHalfOpen && to == gobreaker.StateClosed:
		log.Info("platform http answers again", "url", url)
	}
}

func isRefusal(err error) bool {
	var no *msgmux.Refusal
	return errors.As(err, &no)
}

// Verify asks the service.
func (a *asker) Verify(ctx context.Context, c platform.Credential) (platform.Identity, error) {
	body, err := json.Marshal(question{c.Account, string(c.Secret), c.Version, c.Remote})
	if err != nil {
		return platform.Identity{}, err
	}
	return a.breaker.Execute(func() (platform.Identity, error) {
		wait := backoff.NewExponentialBackOff()
		wait.InitialInterval = 50 * time.Millisecond
		return backoff.Retry(ctx, func() (platform.Identity, error) { return a.ask(ctx, body) },
			backoff.WithBackOff(wait), backoff.WithMaxTries(tries))
	})
}

// question is the body of the POST.
type question struct {
	Account    string `json:"account"`
	Credential string `json:"credential"`
	Version    string `json:"version"`
	Remote     string `json:"remote"`
}

// ask asks once. An error that is not backoff.Permanent may be tried again.
func (a *asker) ask(ctx context.Context, body []byte) (who platform.Identity, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url, bytes.NewReader(body))
	if err != nil {
		return who, backoff.Permanent(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if a.key != "" {
		req.Header.Set("Authorization", "Bearer "+string(a.key))
	}
	resp, err := a.client.Do(req)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) && op.Op == "dial" {
			return who, err // nobody has heard it
		}
		return who, backoff.Permanent(err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			return who, backoff.Permanent(fmt.Errorf("answer of %s: %w", a.url, err))
		}
		return a.read(text)
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
		return who, backoff.Permanent(msgmux.Refuse(pb.ResultCode_CredentialInvalid, "unknown account or wrong credential"))
	case http.StatusLocked:
		return who, backoff.Permanent(msgmux.Refuse(pb.ResultCode_AccountLocked, "the account is locked"))
	case http.StatusTooManyRequests:
		return who, backoff.Permanent(msgmux.Refuse(pb.ResultCode_ServerBusy, "too many are logging in at the moment: try again later"))
	}
	err = fmt.Errorf("answer of %s: %s", a.url, resp.Status)
	switch resp.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return who, err
	}
	return who, backoff.Permanent(err)
}

// read reads the answer 200. Errors do not show it: it is about a person.
func (a *asker) read(text []byte) (platform.Identity, error) {
	var says struct {
		Subject string `json:"subject"`
		Name    string `json:"name"`
	}
	if err := json.Unmarshal(text, &says); err != nil {
		return platform.Identity{}, backoff.Permanent(fmt.Errorf("answer of %s: %d bytes that are not the JSON expected", a.url, len(text)))
	}
	if says.Subject == "" || len(says.Subject) > platform.MaxSubject {
		return platform.Identity{}, backoff.Permanent(fmt.Errorf("answer of %s: a subject of %d bytes", a.url, len(says.Subject)))
	}
	return platform.Identity{Subject: says.Subject, Name: says.Name}, nil
}
