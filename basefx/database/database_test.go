package database

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/util/discovery"
	"github.com/davyxu/cellmesh_demo/util/sqldb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shop is a service with a database.
type shop struct {
	flags  Flags
	tables sqldb.Migrations
	db     *sqldb.DB
}

func (s *shop) Start(_ context.Context, app *basefx.App) (err error) {
	s.db, err = Open(app, &s.flags, s.tables)
	return err
}

// goods are tables of so many versions.
func goods(versions int) sqldb.Migrations {
	files := fstest.MapFS{}
	for i, sql := range []string{"CREATE TABLE goods (name TEXT)", "ALTER TABLE goods ADD COLUMN price BIGINT"}[:versions] {
		files[[]string{"00001_goods.sql", "00002_price.sql"}[i]] = &fstest.MapFile{Data: []byte("-- +goose Up\n" + sql + ";\n")}
	}
	return sqldb.Migrations{Name: "goods", Files: files}
}

// run runs s until ctx is done.
func run(ctx context.Context, s *shop, source string, log *buffer, ready func()) error {
	reg := discovery.NewMemory().Open()
	defer reg.Close()
	return basefx.Run(ctx, "shop", func(fs *flag.FlagSet) basefx.Service {
		s.flags.Register(fs)
		return s
	}, basefx.Options{
		Args: []string{"-flagfile=", "-httpaddr=", "-database=" + source}, Stdout: log, Stderr: log, Registry: reg,
		Ready: func(*basefx.App) { ready() },
	})
}

// A service waits for its database, says what is wrong, and goes on by itself.
func TestWaits(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "later")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var log buffer
	go func() { // makes the folder when it was asked for
		for !strings.Contains(log.String(), "its folder must be there") && !strings.Contains(log.String(), "no such file") && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		os.Mkdir(dir, 0o755)
	}()
	s := &shop{tables: goods(1)}
	wrote := errors.New("not ready")
	err := run(ctx, s, "sqlite:"+filepath.Join(dir, "shop.db"), &log, func() {
		wrote = s.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO goods (name) VALUES ('bread')")
			return err
		})
		cancel()
	})
	if err != nil || wrote != nil {
		t.Errorf("%v, %v\n%s", err, wrote, log.String())
	}
}

// What does not help itself ends the service, in words.
func TestRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "shop.db")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := run(ctx, &shop{tables: goods(2)}, "sqlite:"+file, &buffer{}, cancel); err != nil {
		t.Fatal(err)
	}
	for source, want := range map[string]string{
		"sqlite:" + file: "newer than this program",
		"mysql:x":        "-database: databases of the kind",
	} {
		err := run(t.Context(), &shop{tables: goods(1)}, source, &buffer{}, func() { t.Error("ready") })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", source, err)
		}
	}
}

// buffer is a log that any goroutine may write and read.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
