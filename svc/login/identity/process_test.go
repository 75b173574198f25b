package identity

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/davyxu/cellmesh_demo/util/sqldb"
)

// fileEnv tells this test binary to be a process that gives uids out of a file.
const fileEnv = "IDENTITY_TEST_FILE"

func TestMain(m *testing.M) {
	if file := os.Getenv(fileEnv); file != "" {
		if err := give(file); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

const newcomers = 300

// newcomer is an account that nobody has seen yet; every second one wishes for a
// uid that the one before it wants too.
func newcomer(i int) (a Account, wish string) {
	return Account{"demo", fmt.Sprint("new", i)}, fmt.Sprint("wish", i/2)
}

// give prints the uids of all newcomers, one a line, when its input ends.
func give(file string) error {
	db, err := sqldb.Open("sqlite:"+file, sqldb.Options{}, Tables())
	if err != nil {
		return err
	}
	defer db.Close()
	if err := db.Prepare(context.Background()); err != nil {
		return err
	}
	fmt.Println("ready")
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	s := New(db)
	for i := range newcomers {
		a, wish := newcomer(i)
		uid, err := s.UID(context.Background(), a, wish)
		if err != nil {
			return err
		}
		fmt.Println(uid)
	}
	return nil
}

// Processes that meet the same newcomers at the same time give each the same
// uid, and no uid twice; so does one that comes later.
func TestRaceOfProcesses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.db")
	type process struct {
		cmd   *exec.Cmd
		start io.Closer
		out   *bufio.Scanner
	}
	var all []process
	for range 3 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), fileEnv+"="+file)
		cmd.Stderr = os.Stderr
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		p := process{cmd, in, bufio.NewScanner(out)}
		t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
		if !p.out.Scan() || p.out.Text() != "ready" {
			t.Fatalf("a process begins with %q", p.out.Text())
		}
		all = append(all, p)
	}
	for _, p := range all {
		p.start.Close()
	}
	var given [][]string
	for _, p := range all {
		var uids []string
		for p.out.Scan() {
			uids = append(uids, p.out.Text())
		}
		if err := p.cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		given = append(given, uids)
	}
	later := open(t, file)
	accounts, wished := map[string]int{}, 0
	for i := range newcomers {
		a, wish := newcomer(i)
		uid := later.uid(t, a.Platform, a.Subject, "")
		for n, uids := range given {
			if len(uids) != newcomers || uids[i] != uid {
				t.Fatalf("%v is %s, process %d gave %d uids, that of it %q", a, uid, n, len(uids), uids[min(i, len(uids)):min(i+1, len(uids))])
			}
		}
		if first, twice := accounts[uid]; twice {
			t.Errorf("newcomers %d and %d are both %s", first, i, uid)
		}
		accounts[uid] = i
		if uid == wish {
			wished++
		} else if len(uid) != 26 || strings.ToLower(uid) != uid {
			t.Errorf("%v is %q", a, uid)
		}
	}
	if wished != newcomers/2 {
		t.Errorf("%d have the uid they wished for, want %d", wished, newcomers/2)
	}
}
