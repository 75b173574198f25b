package main

import (
	"crypto/tls"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/davyxu/cellmesh_demo/util/certfile/certtest"
)

// TestTLSFlags: memsd with a certificate, a secret in a file, and the commands that go with them; then another
// certificate, without a restart.
func TestTLSFlags(t *testing.T) {
	dir := t.TempDir()
	cert, key := certtest.Files(t, dir, 1)
	secret := filepath.Join(dir, "secret")
	if err := errors.Join(os.WriteFile(secret, []byte("correct horse\r\n"), 0o600), os.Mkdir(filepath.Join(dir, "other"), 0o755)); err != nil {
		t.Fatal(err)
	}
	stranger, _ := certtest.Files(t, filepath.Join(dir, "other"), 9)
	p := startMemsdWith(t, dir, "127.0.0.1:0", nil, "-sdcert="+cert, "-sdkey="+key, "-secret=@"+secret)
	good := []string{"-sdca=" + cert, "-secret=correct horse"}
	if code, out, errs := ask(t, p.addr, append(good, "-cmd=setvalue", "k", "v")...); code != 0 {
		t.Fatal(out, errs)
	}
	for says, args := range map[string][]string{
		"-sdca":                 {"-secret=@" + secret},
		"secret":                {"-sdca=" + cert},
		"-sdca: trusted":        {"-sdca=" + secret},
		"not what -sdca trusts": {"-sdca=" + stranger, "-secret=@" + secret},
	} {
		code, out, errs := ask(t, p.addr, append(args, "-cmd=getvalue", "k")...)
		if code != 1 || out != "" || !strings.Contains(errs, says) {
			t.Errorf("%v: exit code %d, %q, %q; want %q", args, code, out, errs, says)
		}
	}
	certtest.Files(t, dir, 2)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		c, err := tls.Dial("tcp", p.addr, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		serial := c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
		_ = c.Close()
		if serial == 2 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("memsd still shows certificate %d", serial)
		}
	}
	if code, out, errs := ask(t, p.addr, append(good, "-cmd=getvalue", "k")...); code != 0 || out != "v\n" {
		t.Error(out, errs)
	}
	for _, args := range [][]string{{"-sdcert=" + cert}, {"-sdkey=" + key}, {"-sdcert=" + key, "-sdkey=" + cert}} {
		out, err := exec.Command(os.Getenv(binEnv), append(args, "-addr=127.0.0.1:0", "-datafile=", "-flagfile=", "-httpaddr=")...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "-sdcert") {
			t.Errorf("memsd with %v: %v, %s", args, err, out)
		}
	}
}
