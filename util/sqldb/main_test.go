package sqldb

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"
)

// Some tests need processes of their own: this test binary again, told by the
// environment which child to be.
const childEnv, fileEnv = "SQLDB_TEST_CHILD", "SQLDB_TEST_FILE"

var children = map[string]func(db *DB) error{"prepare": prepareChild, "write": writeChild}

func TestMain(m *testing.M) {
	if child := children[os.Getenv(childEnv)]; child != nil {
		db, err := Open("sqlite:"+os.Getenv(fileEnv), Options{}, counters)
		if err == nil {
			err = child(db)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// child is a process that runs a child on a file.
func child(name, file string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+name, fileEnv+"="+file)
	cmd.Stderr = os.Stderr
	return cmd
}

// counters are the tables of the tests.
var counters = Migrations{Name: "counters", Files: fstest.MapFS{
	"00001_counters.sql": {Data: []byte("-- +goose Up\nCREATE TABLE counters (name TEXT PRIMARY KEY, n BIGINT NOT NULL);\n")},
	"00002_note.sql":     {Data: []byte("-- +goose Up\nALTER TABLE counters ADD COLUMN note TEXT NOT NULL DEFAULT '';\n")},
}}

func open(t testing.TB, file string, o Options, sets ...Migrations) *DB {
	t.Helper()
	if len(sets) == 0 {
		sets = []Migrations{counters}
	}
	db, err := Open("sqlite:"+file, o, sets...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func prepared(t testing.TB, file string, o Options) *DB {
	t.Helper()
	db := open(t, file, o)
	if err := db.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db
}

func temp(t testing.TB) string { return filepath.Join(t.TempDir(), "a b%20#?.db") }

// count adds one to a counter.
func count(name string) func(context.Context, Tx) error {
	return func(ctx context.Context, tx Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO counters (name, n) VALUES ($1, 1) ON CONFLICT (name) DO UPDATE SET n = counters.n + 1", name)
		return err
	}
}

// counted is the value of a counter, 0 if there is none.
func counted(t testing.TB, db *DB, name string) (n int) {
	t.Helper()
	err := db.Read(t.Context(), func(ctx context.Context, tx Tx) error {
		return tx.QueryRowContext(ctx, "SELECT coalesce(sum(n), 0) FROM counters WHERE name = $1", name).Scan(&n)
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// block keeps the writer busy until release is called; when block returns, it
// is.
func block(db *DB) (release func()) {
	began, end := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		db.Write(context.Background(), func(context.Context, Tx) error {
			close(began)
			<-end
			return nil
		})
	})
	<-began
	return func() {
		close(end)
		wg.Wait()
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not within 20 s: ", what)
		}
	}
}

func percentile(d []time.Duration, p int) time.Duration {
	slices.Sort(d)
	return d[(len(d)-1)*p/100]
}
