package gateway_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/tool/cluster"
)

// writeCert writes a new certificate with this serial number and its key.
func writeCert(t testing.TB, cert, key string, serial int64) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
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
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// serial is the number of the certificate that the agent shows.
func (r *rig) serial(t testing.TB) int64 {
	t.Helper()
	c, err := tls.Dial("tcp", r.addr(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

// With a certificate TCP and WebSocket clients come through TLS on one port, and
// plain ones are turned away; the certificate is read again when its files
// change, and kept when they make no sense. Connections stay.
func TestTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeCert(t, cert, key, 1)
	r := newRig(t, "-tlscert="+cert, "-tlskey="+key)
	a, b := r.enter(t, "tls", "a", newClient), r.enter(t, "wss", "b", newClient)
	a.wantEcho(t, "over TLS")
	b.wantEcho(t, "over WebSocket over TLS")
	big := strings.Repeat("x", 60_000)
	a.wantEcho(t, big)
	b.wantEcho(t, big)

	for i, scheme := range []string{"tcp", "ws"} {
		if p, err := r.tryDial(t, scheme); err == nil {
			p.session.SendMessage(pb.PingACKID, nil)
			p.wantEnd(t)
			if len(p.got) > 0 {
				t.Errorf("a plain %s client got %v", scheme, p.next(t))
			}
		}
		wantMetric(t, r.agent, `client_connections_rejected_total{reason="tls_required"}`, float64(i+1))
	}

	if got := r.serial(t); got != 1 {
		t.Fatalf("the agent shows certificate %d, want 1", got)
	}
	writeCert(t, cert, key, 2)
	cluster.Eventually(t, "the agent shows the new certificate", func() bool { return r.serial(t) == 2 })
	if err := os.WriteFile(cert, []byte("half a certi"), 0o600); err != nil {
		t.Fatal(err)
	}
	cluster.Eventually(t, "the log tells of a bad certificate", func() bool {
		return r.serial(t) == 2 && strings.Contains(r.agent.Log(), "the old one stays in force")
	})
	a.wantEcho(t, "still there")
	b.wantEcho(t, "still there")
	if err := b.session.SendMessage(9999, nil); err != nil {
		t.Fatal(err)
	}
	b.wantReject(t, 9999, pb.ResultCode_MessageBlocked)
	if err := r.game.client(t, "a").Kick(pb.ResultCode_Kicked, "enough"); err != nil {
		t.Fatal(err)
	}
	a.wantReject(t, 0, pb.ResultCode_Kicked)
	a.wantEnd(t)
}

// A TLS client on a plain port is turned away at once, and told apart.
func TestTLSOnPlainPort(t *testing.T) {
	r := newRig(t)
	w := r.witness(t)
	if c, err := tls.Dial("tcp", r.addr(), &tls.Config{InsecureSkipVerify: true}); err == nil {
		c.Close()
		t.Error("a plain port spoke TLS")
	}
	wantMetric(t, r.agent, `client_connections_rejected_total{reason="tls_unexpected"}`, 1)
	w.undisturbed(t)
}
