package certfile

import (
	"bytes"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/davyxu/cellmesh_demo/util/certfile/certtest"
)

// greet shakes hands over a pipe. It returns the serial number of the server's certificate, and what each side says.
func greet(client, server *tls.Config) (serial int64, clientErr, serverErr error) {
	a, b := net.Pipe()
	c, s := tls.Client(a, client), tls.Server(b, server)
	done := make(chan error)
	go func() {
		err := s.Handshake()
		_ = b.Close()
		done <- err
	}()
	clientErr = c.Handshake()
	_ = a.Close()
	if certs := c.ConnectionState().PeerCertificates; len(certs) > 0 {
		serial = certs[0].SerialNumber.Int64()
	}
	return serial, clientErr, <-done
}

func put(t *testing.T, file, content string, changed time.Time) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(file, changed, changed); err != nil {
		t.Fatal(err)
	}
}

// The certificate in force is that of the files when they were last good: a newer one is taken even if its files are
// older, and what is wrong is told once. A client trusts what its own file has today.
func TestFilesAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	trusted := filepath.Join(dir, "trusted.pem")
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := slog.New(slog.NewTextHandler(&out, nil))
		cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
		// The system's clock for files may stand still between two writes.
		renew := func(serial int64) {
			certtest.Files(t, dir, serial)
			changed := time.Now().Add(time.Duration(serial) * time.Second)
			for _, file := range []string{cert, key} {
				if err := os.Chtimes(file, changed, changed); err != nil {
					t.Fatal(err)
				}
			}
		}
		renew(1)
		trust := func(changed time.Time) {
			text, err := os.ReadFile(cert)
			if err != nil {
				t.Fatal(err)
			}
			put(t, trusted, string(text), changed)
		}
		trust(time.Now())
		server, err := Server(cert, key, log)
		if err != nil {
			t.Fatal(err)
		}
		client, err := Client(trusted, "127.0.0.1", log)
		if err != nil {
			t.Fatal(err)
		}
		want := func(serial int64, trusts bool, problems int) {
			t.Helper()
			for range 3 {
				time.Sleep(lookAgain)
				got, err, _ := greet(client, server)
				if got != serial || (err == nil) != trusts {
					t.Fatalf("certificate %d, %v; want %d, trusted %v", got, err, serial, trusts)
				}
				var unverified *tls.CertificateVerificationError
				if err != nil && !errors.As(err, &unverified) {
					t.Fatalf("%v is no CertificateVerificationError", err)
				}
			}
			if n := strings.Count(out.String(), "the old one stays in force"); n != problems {
				t.Fatalf("%d problems in the log, want %d:\n%s", n, problems, &out)
			}
		}
		now := time.Now()
		want(1, true, 0)
		renew(2)
		want(2, false, 0)
		trust(now.Add(-time.Hour))
		want(2, true, 0)
		put(t, key, "half a k", now)
		want(2, true, 1)
		if err := os.Remove(cert); err != nil {
			t.Fatal(err)
		}
		put(t, trusted, "", now)
		want(2, true, 3)
		renew(3)
		want(3, false, 3)
		trust(now.Add(time.Hour))
		want(3, true, 3)
		// Between two looks the files are left alone.
		renew(4)
		if got, err, _ := greet(client, server); got != 3 || err != nil {
			t.Errorf("a moment later: certificate %d, %v", got, err)
		}
	})
}

// A server that is trusted, but for another address, is refused: by name and by IP address.
func TestCertificateOfAnotherHost(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	cert, key := certtest.Files(t, t.TempDir(), 1)
	server, err := Server(cert, key, log)
	if err != nil {
		t.Fatal(err)
	}
	for host, good := range map[string]bool{"127.0.0.1": true, "127.0.0.2": false, "localhost": false, "": false} {
		client, err := Client(cert, host, log)
		if err != nil {
			if host == "" {
				continue
			}
			t.Fatal(err)
		}
		if _, err, _ := greet(client, server); (err == nil) != good {
			t.Errorf("host %q: %v", host, err)
		}
	}
}

// Files that are missing or not what they should be are told by name.
func TestBadFiles(t *testing.T) {
	dir := t.TempDir()
	cert, key := certtest.Files(t, dir, 1)
	log := slog.New(slog.DiscardHandler)
	for _, test := range []struct{ cert, key, why string }{
		{dir + "/nothing.pem", key, "nothing.pem"},
		{cert, dir + "/nothing.pem", "nothing.pem"},
		{key, cert, "key.pem with key"},
	} {
		if _, err := Server(test.cert, test.key, log); err == nil || !strings.Contains(err.Error(), test.why) {
			t.Errorf("%s and %s: %v, want %q in it", test.cert, test.key, err, test.why)
		}
	}
	for file, why := range map[string]string{dir + "/nothing.pem": "nothing.pem", key: "key.pem has no certificate"} {
		if _, err := Client(file, "127.0.0.1", log); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v, want %q in it", file, err, why)
		}
	}
}
