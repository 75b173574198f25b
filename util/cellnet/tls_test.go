package cellnet

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"
)

// certificate makes a self-signed certificate for loopback, and a client's
// configuration that trusts it.
func certificate(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "cellnet test"},
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:         true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, &tls.Config{RootCAs: pool}
}

func TestTLS(t *testing.T) {
	server, client := certificate(t)
	a := echoes()
	a.TLS = server
	addr := serve(t, a)
	for _, scheme := range []string{"tls", "wss"} {
		t.Run(scheme, func(t *testing.T) {
			s := dial(t, scheme+"://"+addr, &Config{TLS: client})
			r := newRecorder()
			run(t, s, r)
			ping(t, s, r)
			for _, n := range []int{2, 16 << 10, 65535} {
				s.Send(make([]byte, n), nil)
			}
			within(t, "echoes", func() bool { return r.count() == 4 })
			s.Send([]byte("bye"), nil)
			s.Close(nil)
			wait(t, "the end", r.ended)
		})
	}
	within(t, "the server's ends", func() bool { return a.Config.Counters.Open.Load() == 0 })
	if n := a.Config.Counters.FramesIn.Load(); n != 10 {
		t.Errorf("the server got %d frames, want 10", n)
	}
}

func TestTLSLink(t *testing.T) {
	server, client := certificate(t)
	addr := serve(t, &Acceptor{Config: link, TLS: server, Open: func(s *Session) (Handler, error) { return &echo{s: s}, nil }})
	s := dial(t, "tls://"+addr, &Config{Framing: LinkFraming, TLS: client})
	r := newRecorder()
	run(t, s, r)
	s.Send(nil, make([]byte, 1<<20))
	within(t, "echo", func() bool { return r.count() == 1 })
}

// Close says goodbye properly: the client's last read is io.EOF, not
// unexpected, and has everything before it.
func TestTLSCloseDeliversFirst(t *testing.T) {
	server, client := certificate(t)
	a := echoes()
	a.Config = patience // all of it has to be encrypted first
	a.TLS = server
	a.Open = func(s *Session) (Handler, error) {
		for range 100 {
			s.AppendMessage(1, make([]byte, 5000))
		}
		s.Close(nil)
		return newRecorder(), nil
	}
	addr := serve(t, a)
	s := dial(t, "tls://"+addr, &Config{TLS: client})
	r := newRecorder()
	s.SendMessage(1, nil)
	run(t, s, r)
	if err := wait(t, "the end", r.ended); err != io.EOF || r.count() != 100 {
		t.Errorf("%d frames, reason %v", r.count(), err)
	}
}

func TestTLSSlowConsumer(t *testing.T) {
	server, client := certificate(t)
	a := echoes()
	a.TLS = server
	a.Config.MaxPending = 64 << 10
	ended := make(chan error, 1)
	opened := make(chan *Session, 1)
	a.Open = func(s *Session) (Handler, error) { opened <- s; return &echo{s: s, ended: ended}, nil }
	slow := dial(t, "tls://"+serve(t, a), &Config{TLS: client})
	slow.SendMessage(1, nil)
	s := wait(t, "open", opened)
	var err error
	for err == nil {
		err = s.Send(make([]byte, 10_000), nil)
	}
	if err := wait(t, "the cut", ended); err != ErrSlowConsumer {
		t.Errorf("reason %v", err)
	}
}

func TestPlainOnTLSPort(t *testing.T) {
	server, _ := certificate(t)
	for _, c := range []struct{ name, send, answer string }{
		{"VerifyREQ", string(unhex(t, golden[1].hex)), ""},
		{"LoginREQ", string(unhex(t, golden[0].hex)), ""},
		{"WebSocket", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.0 400 Bad Request\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := echoes()
			a.TLS = server
			reasons := rejections(a)
			conn, err := net.Dial("tcp", serve(t, a))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			io.WriteString(conn, c.send)
			if err := wait(t, "rejection", reasons); !errors.Is(err, ErrTLSRequired) {
				t.Errorf("reason %v", err)
			}
			conn.SetReadDeadline(time.Now().Add(soon))
			if answer, _ := io.ReadAll(conn); !strings.HasPrefix(string(answer), c.answer) {
				t.Errorf("answer %q", answer)
			}
		})
	}
}

func TestTLSOnPlainPort(t *testing.T) {
	for _, c := range []*tls.Config{
		{InsecureSkipVerify: true},
		{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, ServerName: "game.example"},
	} {
		a := echoes()
		reasons := rejections(a)
		if _, err := Dial(context.Background(), "tls://"+serve(t, a), &Config{TLS: c}); !errors.Is(err, ErrHandshake) {
			t.Errorf("Dial: %v", err)
		}
		if err := wait(t, "rejection", reasons); !errors.Is(err, ErrTLSUnexpected) {
			t.Errorf("reason %v", err)
		}
	}
}
