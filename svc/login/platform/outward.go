package platform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// maxBody is how much of an answer is read, in bytes.
const maxBody = 1 << 20

// ErrBodyTooLarge is what reading a larger answer ends with.
var ErrBodyTooLarge = fmt.Errorf("the answer is larger than %d bytes", maxBody)

// NewClient makes an HTTP client for what a platform asks others. Whoever is
// asked may be slow, broken or hostile: an answer takes at most limit and has
// at most 1 MiB, and redirects are not followed, so that what is sent goes
// nowhere else. Everything ends with life.
func NewClient(life context.Context, limit time.Duration) *http.Client {
	t := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: limit}).DialContext,
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 64, // login asks the same few hosts again and again
		IdleConnTimeout:     time.Minute,
		TLSHandshakeTimeout: limit,
	}
	context.AfterFunc(life, t.CloseIdleConnections)
	return &http.Client{
		Transport:     &bounded{t, life},
		Timeout:       limit,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// bounded bounds answers in size, and everything by life.
type bounded struct {
	next http.RoundTripper
	life context.Context
}

func (b *bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(req.Context())
	stop := context.AfterFunc(b.life, cancel)
	resp, err := b.next.RoundTrip(req.WithContext(ctx))
	if err != nil {
		stop()
		cancel()
		return nil, err
	}
	resp.Body = &boundedBody{resp.Body, maxBody, func() { stop(); cancel() }}
	return resp, nil
}

type boundedBody struct {
	io.ReadCloser
	left int
	end  func()
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if len(p) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if b.left -= n; b.left < 0 {
		return 0, ErrBodyTooLarge
	}
	return n, err
}

func (b *boundedBody) Close() error {
	defer b.end()
	return b.ReadCloser.Close()
}

// CheckURL says what is wrong with the address of somebody who is to be
// trusted: it must be https, or http on this very machine.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	if err != nil {
		return err
	}
	host := u.Hostname()
	ip := net.ParseIP(host)
	switch {
	case host == "" || u.User != nil:
		return errors.New("want https://host/path")
	case u.Scheme == "https":
	case u.Scheme != "http" || host != "localhost" && (ip == nil || !ip.IsLoopback()):
		return errors.New("want https (http only on loopback)")
	}
	return nil
}
