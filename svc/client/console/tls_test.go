package console

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/davyxu/cellmesh_demo/tool/cluster"
)

// writeCert writes a certificate for 127.0.0.1 that vouches for itself, and its
// key.
func writeCert(t *testing.T, dir string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// With TLS at login and agent: over TCP and WebSocket, and not without trust.
func TestTLS(t *testing.T) {
	cert, key := writeCert(t, t.TempDir())
	c := cluster.New(t)
	var all []*cluster.Process
	for _, name := range []string{"hub", "game", "social"} {
		all = append(all, c.Launch(name))
	}
	for _, name := range []string{"agent", "login"} {
		all = append(all, c.Launch(name, "-tlscert="+cert, "-tlskey="+key))
	}
	for _, p := range all {
		p.WaitReady()
	}
	login := "-login=" + c.Addr("login#0@dev")
	for _, commType := range []string{"tcp", "ws"} {
		pipe := run(t, login, "-commtype="+commType, "-tls", "-ca="+cert)
		pipe.typ("hello\n")
		pipe.keys.Close()
		if end := pipe.end(); end != "" || pipe.out.String() != "hello\n" {
			t.Errorf("%s: ended with %q, printed %q", commType, end, pipe.out.String())
		}
		if end := run(t, login, "-commtype="+commType, "-tls").end(); !strings.Contains(end, "certificate") {
			t.Errorf("%s without trust: ended with %q", commType, end)
		}
		if end := run(t, login, "-commtype="+commType, "-wait=100ms").end(); !strings.HasPrefix(end, "gave up after 100ms") {
			t.Errorf("%s without TLS: ended with %q", commType, end)
		}
	}
	for want, flag := range map[string]string{"there are none in": "-ca=" + key, "no such file": "-ca=nowhere"} {
		if end := run(t, login, "-tls", flag).end(); !strings.Contains(end, want) {
			t.Errorf("%s: ended with %q", flag, end)
		}
	}
}
