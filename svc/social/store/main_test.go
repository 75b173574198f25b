package store

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/davyxu/cellmesh_demo/util/sqldb"
)

// One test kills a process: this test binary again, told by the environment which
// file to write to.
const fileEnv = "CHAT_STORE_TEST_FILE"

func TestMain(m *testing.M) {
	if file := os.Getenv(fileEnv); file != "" {
		if err := keepForEver(file); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

func child(file string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fileEnv+"="+file)
	cmd.Stderr = os.Stderr
	return cmd
}

func temp(t testing.TB) string { return filepath.Join(t.TempDir(), "chat.db") }

// open opens a file as a process of its own would.
func open(t testing.TB, file string) *Store {
	t.Helper()
	db, err := sqldb.Open("sqlite:"+file, sqldb.Options{}, Tables())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := db.Prepare(context.Background()); err != nil {
		t.Fatal(err)
	}
	return New(db)
}

var noon = time.UnixMilli(1_800_000_000_000)

func line(id int, room string) Line {
	return Line{ID: uint64(id), Room: room, From: "alice", Name: "Alice", At: noon.Add(time.Duration(id) * time.Second), Text: fmt.Sprint("line ", id)}
}

// ids are the IDs of lines.
func ids(lines []Line) string {
	var all []string
	for _, l := range lines {
		all = append(all, fmt.Sprint(l.ID))
	}
	return strings.Join(all, " ")
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
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

var quiet = slog.New(slog.DiscardHandler)

// run runs a recorder; stop waits until it has written the rest.
func run(t testing.TB, r *Recorder) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Run(ctx)
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return stop
}

func sortedIDs(all map[uint64]int) []uint64 {
	var list []uint64
	for id := range all {
		list = append(list, id)
	}
	slices.Sort(list)
	return list
}

// lines is a log that tests read.
type lines struct {
	mu  sync.Mutex
	buf strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }
