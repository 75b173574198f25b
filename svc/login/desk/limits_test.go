package desk

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/login/choice"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

func login(t *testing.T, uid string) []byte {
	return packet(t, &pb.LoginREQ{Version: "1.0", Platform: "demo", Uid: uid})
}

// An account, and an address, may log in only so often.
func TestRates(t *testing.T) {
	l := launch(t, "-accountrate=1")
	l.limited(2, "this account", func(int) string { return "alice" })
	l.granted(l.ask(login(t, "bob")), "bob")

	l = launch(t, "-addrrate=2")
	l.limited(4, "your address", func(i int) string { return fmt.Sprint("u", i) })
	if !strings.Contains(l.log.String(), "result=RateLimited") {
		t.Error("the log does not tell")
	}
}

// limited logs in until it is told to wait, for a reason with these words: least
// times it must be let in, and more often only as time goes by.
func (l *service) limited(least int, words string, uid func(i int) string) {
	l.t.Helper()
	start := time.Now()
	for i := 0; ; i++ {
		ack := l.ask(login(l.t, uid(i)))
		if ack.Result == pb.ResultCode_RateLimited {
			if !strings.Contains(ack.Reason, words) || i < least {
				l.t.Errorf("login %d was answered %v", i+1, ack)
			}
			return
		}
		l.granted(ack, uid(i))
		if most := least + int(time.Since(start).Seconds()*float64(least)); i >= most {
			l.t.Errorf("let in %d times", i+1)
			return
		}
	}
}

// An address may make only so many accounts, and log in with them as before; what
// is refused makes none.
func TestRegistrations(t *testing.T) {
	l := launch(t, "-platforms=demo,password", "-registerrate=1", "-maxhashes=2")
	ask := func(uid string, action pb.LoginREQ_Action) *pb.LoginACK {
		return l.ask(packet(t, &pb.LoginREQ{Platform: "password", Uid: uid, Credential: "correct horse", Action: action}))
	}
	for _, uid := range []string{"alice", "bob"} {
		l.granted(ask(uid, pb.LoginREQ_Register), uid)
	}
	ack := ask("carol", pb.LoginREQ_Register)
	if ack.Result != pb.ResultCode_TooManyAccounts || ack.Reason != "too many accounts were asked for from your address: try again later" {
		t.Errorf("answered %v", ack)
	}
	if ack := ask("carol", pb.LoginREQ_LogIn); ack.Result != pb.ResultCode_CredentialInvalid {
		t.Errorf("answered %v", ack)
	}
	for range 3 {
		l.granted(ask("alice", pb.LoginREQ_LogIn), "alice")
		l.granted(l.ask(goldenBytes(t)), "1234")
	}
	if !strings.Contains(l.log.String(), "result=TooManyAccounts") {
		t.Error("the log does not tell")
	}
}

// A rule refuses old versions, or sends new ones to a group of their own, from
// the moment it is set; a bad one changes nothing.
func TestVersionRules(t *testing.T) {
	l := launch(t)
	set := func(rules string) {
		t.Helper()
		if err := discovery.Set(t.Context(), l.reg, choice.VersionsKey, rules); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(version string) *pb.LoginACK {
		return l.ask(packet(t, &pb.LoginREQ{Version: version, Platform: "demo", Uid: "alice"}))
	}
	l.granted(ask("0.9"), "alice")
	set(`{"rules": [{"below": "1.0", "refuse": "please update to 1.0"}, {"from": "2.0", "group": "beta"}]}`)
	eventually(t, "an old version is refused", func() bool {
		ack := ask("0.9")
		return ack.Result == pb.ResultCode_VersionRefused && ack.Reason == "please update to 1.0"
	})
	l.granted(ask("1.0"), "alice")
	if ack := ask("2.1"); ack.Result != pb.ResultCode_AgentNotFound || !strings.Contains(ack.Reason, "in group beta") {
		t.Errorf("answered %v", ack)
	}
	for name, meta := range map[string]map[string]string{"agent": {discovery.MetaWAN: "127.0.0.1:9001"}, "game": nil} {
		if _, err := l.reg.Register(t.Context(), discovery.Service{Name: name, Group: "beta", State: discovery.Ready, Meta: meta}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "a new version is sent to beta", func() bool {
		ack := ask("2.1")
		return ack.GameSvcId == "game#0@beta" && ack.Server.GetPort() == 9001
	})
	l.granted(ask("1.0"), "alice")
	set(`{"rules": [{"below": "x"}]}`)
	eventually(t, "the log tells of the bad rule", func() bool { return strings.Contains(l.log.String(), "config is bad") })
	l.granted(ask("1.0"), "alice")
	if ack := ask("0.9"); ack.Result != pb.ResultCode_VersionRefused {
		t.Errorf("answered %v", ack)
	}
}

// Whatever a client shows as proof is in no line of the log, on no platform,
// for no reason.
func TestNoSecretsInLog(t *testing.T) {
	company := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/issuer/.well-known/openid-configuration":
			fmt.Fprintf(w, `{"issuer": "http://%s/issuer", "jwks_uri": "http://%s/keys"}`, r.Host, r.Host)
		case "/keys":
			fmt.Fprint(w, `{"keys": []}`)
		default:
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprint(w, "hunter2-1 hunter2-key")
		}
	}))
	t.Cleanup(company.Close)
	l := launch(t, "-loglevel=debug", "-platforms=demo,http,oidc", "-platformurl="+company.URL, "-platformkey=hunter2-key",
		"-oidc=test="+company.URL+"/issuer,game")
	codes := map[pb.ResultCode]bool{}
	for i, platform := range []string{"demo", "http", "oidc:test", "nobody"} {
		for action := range pb.LoginREQ_Action(4) {
			for _, secret := range []string{fmt.Sprint("hunter2-", i), "eyJhbGciOiJSUzI1NiJ9.hunter2.hunter2", "hunter2\n\x00", strings.Repeat("hunter2", 1000)} {
				ack := l.ask(packet(t, &pb.LoginREQ{Version: "1.0", Platform: platform, Uid: "alice", Credential: secret, NewCredential: "hunter2-new", Action: action}))
				codes[ack.Result] = true
				if strings.Contains(ack.Reason, "hunter2") {
					t.Errorf("answered %v", ack)
				}
			}
		}
	}
	for _, code := range []pb.ResultCode{pb.ResultCode_NoError, pb.ResultCode_BadRequest, pb.ResultCode_PlatformFailed, pb.ResultCode_PlatformUnknown, pb.ResultCode_CredentialInvalid} {
		if !codes[code] {
			t.Errorf("nobody was told %v", code)
		}
	}
	if strings.Contains(l.log.String(), "hunter2") {
		t.Error("the log has a secret in it")
	}
}

// Login takes TLS clients, and only those, by the code that the agent has.
func TestTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	cert := s.TLS.Certificates[0]
	s.Close()
	file, key := writePair(t, cert)
	l := launch(t, "-tlscert="+file, "-tlskey="+key)
	conn, err := tls.Dial("tcp", l.addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	l.granted(l.askOn(conn, goldenBytes(t)), "1234")
	plain := l.dial()
	plain.Write(goldenBytes(t))
	if n, _ := plain.Read(make([]byte, 100)); n > 0 {
		t.Error("a plain client was answered")
	}
}

// writePair writes a certificate and its key.
func writePair(t *testing.T, c tls.Certificate) (cert, key string) {
	t.Helper()
	private, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: c.Certificate[0]}, key: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}
