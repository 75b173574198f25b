package basefx

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certFiles writes a certificate with this serial number, and its key, both
// changed at the given time.
func certFiles(t *testing.T, dir string, serial int64, changed time.Time) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	put(t, cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), changed)
	put(t, key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), changed)
	return cert, key
}

func put(t *testing.T, file string, content []byte, changed time.Time) {
	t.Helper()
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(file, changed, changed); err != nil {
		t.Fatal(err)
	}
}

// The certificate in force is that of the files when they were last good:
// a newer one is taken even if its files are older, and what is wrong is told
// once.
func TestCertificateIsReadAgain(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	var out bytes.Buffer
	certPath, keyPath := certFiles(t, dir, 1, now)
	c, err := loadCert(certPath, keyPath, slog.New(slog.NewTextHandler(&out, nil)))
	if err != nil {
		t.Fatal(err)
	}
	want := func(serial int64, problems int) {
		t.Helper()
		for range 3 {
			c.looked = time.Time{} // time goes by
			pair, err := c.get(nil)
			if err != nil {
				t.Fatal(err)
			}
			leaf, err := x509.ParseCertificate(pair.Certificate[0])
			if err != nil {
				t.Fatal(err)
			}
			if leaf.SerialNumber.Int64() != serial {
				t.Fatalf("certificate %v, want %d", leaf.SerialNumber, serial)
			}
		}
		if n := strings.Count(out.String(), "the old one stays in force"); n != problems {
			t.Fatalf("%d problems in the log, want %d:\n%s", n, problems, &out)
		}
	}
	want(1, 0)
	certFiles(t, dir, 2, now.Add(time.Minute))
	want(2, 0)
	certFiles(t, dir, 3, now.Add(-time.Hour))
	want(3, 0)
	put(t, keyPath, []byte("half a k"), now)
	want(3, 1)
	os.Remove(certPath)
	want(3, 2)
	certFiles(t, dir, 4, now)
	want(4, 2)
}

// Between two looks the files are left alone.
func TestCertificateIsKeptForAWhile(t *testing.T) {
	dir := t.TempDir()
	certPath, keyPath := certFiles(t, dir, 1, time.Now())
	c, err := loadCert(certPath, keyPath, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	c.looked = time.Now().Add(time.Hour)
	os.Remove(certPath)
	var first *tls.Certificate
	if first, err = c.get(nil); err != nil || first != c.current {
		t.Errorf("got another certificate, %v", err)
	}
}

// Files that are missing or no certificate are told by name.
func TestBadCertificateFiles(t *testing.T) {
	dir := t.TempDir()
	certPath, keyPath := certFiles(t, dir, 1, time.Now())
	log := slog.New(slog.DiscardHandler)
	for _, test := range []struct{ cert, key, why string }{
		{dir + "/nothing.pem", keyPath, "nothing.pem"},
		{certPath, dir + "/nothing.pem", "nothing.pem"},
		{keyPath, certPath, "key.pem with key"},
	} {
		if _, err := loadCert(test.cert, test.key, log); err == nil || !strings.Contains(err.Error(), test.why) {
			t.Errorf("%s and %s: %v, want %q in it", test.cert, test.key, err, test.why)
		}
	}
}
