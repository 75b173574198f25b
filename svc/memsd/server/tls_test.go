package server

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// certificate returns a server's certificate for 127.0.0.1, and who trusts it.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func TestTLS(t *testing.T) {
	cert, pool := certificate(t)
	s := start(t, "", Options{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}, Secret: "s", Log: slog.New(slog.DiscardHandler)})
	good := dial(t, s.addr, discovery.Options{TLS: &tls.Config{RootCAs: pool}, Secret: "s"})
	if err := discovery.Set(within(t), good, "k", strings.Repeat("v", discovery.MaxValue)); err != nil {
		t.Fatal(err)
	}
	lease := register(t, good, "game", -1)
	if err := lease.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]*tls.Config{"plain": nil, "does not know the certificate": {}} {
		c := dial(t, s.addr, discovery.Options{TLS: o, Secret: "s"})
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		err := discovery.Set(ctx, c, "k", "stolen")
		cancel()
		if err == nil || c.Snapshot().Revision() != 0 {
			t.Errorf("a client that %s gets through", name)
		}
	}
}
