package datafile

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/davyxu/cellmesh_demo/util/discovery/store"
)

// disk stands between a File and the real file system. It knows what would be left of the folder if the process died
// now (everything), and if the power went (only what was synced), and it can fail.
type disk struct {
	t       *testing.T
	dir     string
	names   map[string]int // of synced files; numbers stand for inodes
	content map[int]string // as last synced
	durable map[string]int // names as of the last sync of the folder
	inodes  int

	crash func(image map[string]string) // called for every state that a crash could leave; nil: not
	fail  func(call string) error       // called before every call; nil: never
}

func newDisk(t *testing.T) *disk {
	return &disk{t: t, dir: memoryDir(t), names: map[string]int{}, content: map[int]string{}, durable: map[string]int{}}
}

func (d *disk) system() system {
	s := system{
		write: func(f *os.File, b []byte) (int, error) {
			if err := d.step("write"); err != nil {
				n, _ := f.Write(b[:len(b)/3]) // as much as there is room for
				return n, err
			}
			n, err := f.Write(b[:len(b)/2])
			if err != nil {
				return n, err
			}
			d.crashNow()
			m, err := f.Write(b[len(b)/2:])
			return n + m, err
		},
		sync: func(f *os.File) error {
			if err := d.step("sync"); err != nil {
				return err
			}
			if f.Name() == d.dir {
				d.durable = maps.Clone(d.names)
				return nil
			}
			name := filepath.Base(f.Name())
			if _, known := d.names[name]; !known {
				d.inodes++
				d.names[name] = d.inodes
			}
			b, err := os.ReadFile(f.Name())
			d.content[d.names[name]] = string(b)
			return err
		},
		rename: func(from, to string) error {
			if err := d.step("rename"); err != nil {
				return err
			}
			if err := os.Rename(from, to); err != nil {
				return err
			}
			d.names[filepath.Base(to)] = d.names[filepath.Base(from)]
			delete(d.names, filepath.Base(from))
			return nil
		},
	}
	s.dataSync = s.sync
	return s
}

// memoryDir returns a folder in memory, where the system has one: what is tested here is our order of calls.
func memoryDir(t *testing.T) string {
	const shm = "/dev/shm"
	if info, err := os.Stat(shm); err != nil || !info.IsDir() {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(shm, "datafile")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// fast is the real thing without the waiting: these tests do not pull a plug.
func fast() system {
	s := realSystem()
	s.sync = func(*os.File) error { return nil }
	s.dataSync = s.sync
	return s
}

func (d *disk) step(call string) error {
	d.crashNow()
	if d.fail != nil {
		return d.fail(call)
	}
	return nil
}

// crashNow tells of the states that a crash at this moment could leave.
func (d *disk) crashNow() {
	if d.crash == nil {
		return
	}
	killed := make(map[string]string)
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(d.dir, e.Name()))
		if err != nil {
			d.t.Fatal(err)
		}
		killed[e.Name()] = string(b)
	}
	d.crash(killed)
	unplugged := make(map[string]string)
	for name, inode := range d.durable {
		unplugged[name] = d.content[inode]
	}
	d.crash(unplugged)
}

// model is a File under test beside the states that it must have.
type model struct {
	t     *testing.T
	f     *File
	s     *store.Store
	acked map[string]string   // what every reader of the disk must find ...
	asked []map[string]string // ... or one of these, which have been asked for but not answered
}

func valuesOf(s *store.Snapshot) map[string]string { return maps.Collect(s.Values("")) }

// write commits one random group of batches.
func (m *model) write(r *rand.Rand) error {
	before := m.s.Snapshot()
	var events []store.Event
	for range 1 + r.IntN(3) {
		var ops []store.Op
		for range 1 + r.IntN(3) {
			key := fmt.Sprint("k", r.IntN(6))
			if r.IntN(4) == 0 {
				ops = append(ops, store.DeleteOp(key))
			} else {
				ops = append(ops, store.SetOp(key, fmt.Sprint("v", r.IntN(1000))))
			}
		}
		ev, err := m.s.Apply(ops)
		if err != nil {
			m.t.Fatal(err)
		}
		if len(ev.Changes) > 0 {
			events = append(events, ev)
			m.asked = append(m.asked, valuesOf(m.s.Snapshot()))
		}
	}
	if len(events) == 0 {
		return nil
	}
	if err := m.f.Commit(before, events); err != nil {
		m.s.Restore(before)
		m.asked = nil
		return err
	}
	m.acked, m.asked = valuesOf(m.s.Snapshot()), nil
	return nil
}

// TestCrashAnywhere ends the life of a data file at every single step of a long story, by a kill and by a power failure,
// and looks at what the next process finds.
func TestCrashAnywhere(t *testing.T) {
	d := newDisk(t)
	r := rand.New(rand.NewPCG(1, 2))
	m := &model{t: t, acked: map[string]string{}}
	var revision uint64
	seen := make(map[string]bool)
	d.crash = func(image map[string]string) {
		key := fmt.Sprint(image, m.acked, m.asked) // maps print in order
		if seen[key] {
			return
		}
		seen[key] = true
		dir := memoryDir(t)
		for name, text := range image {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		f, snap, err := open(filepath.Join(dir, "persist.json"), slog.New(slog.DiscardHandler), fast())
		if err != nil {
			t.Fatalf("after a crash: %v\n%v", err, image)
		}
		if got := valuesOf(snap); !slices.ContainsFunc(append(m.asked, m.acked), func(ok map[string]string) bool { return maps.Equal(got, ok) }) {
			t.Fatalf("after a crash: %v\nacknowledged: %v\nasked for: %v\n%v", got, m.acked, m.asked, image)
		}
		if snap.Revision() < revision {
			t.Fatalf("after a crash revisions go on from %d, %d was used", snap.Revision(), revision)
		}
		if err := f.Close(snap); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(dir, "persist.json"))
		if values, decErr := Decode(got); err == nil && (decErr != nil || !maps.Equal(values, valuesOf(snap))) {
			t.Fatalf("after a crash and an orderly end the data file has %s (%v)", got, decErr)
		}
	}
	for life := range 3 {
		f, snap, err := open(filepath.Join(d.dir, "persist.json"), slog.New(slog.DiscardHandler), d.system())
		if err != nil {
			t.Fatal(err)
		}
		if got := valuesOf(snap); !maps.Equal(got, m.acked) {
			t.Fatalf("life %d begins with %v, want %v", life, got, m.acked)
		}
		m.f, m.s = f, store.New(snap)
		for range 6 {
			if err := m.write(r); err != nil {
				t.Fatal(err)
			}
			revision = m.s.Snapshot().Revision()
			f.Note(revision, r.IntN(2) == 0)
			if r.IntN(3) == 0 {
				c := f.Begin(m.s.Snapshot())
				if err := m.write(r); err != nil { // in between
					t.Fatal(err)
				}
				c.Write()
				if err := m.write(r); err != nil {
					t.Fatal(err)
				}
				if err := f.Finish(c); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := f.Close(m.s.Snapshot()); err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) < 150 {
		t.Fatalf("only %d different crashes: the test does not look where it should", len(seen))
	}
}

// TestFullDiskAnywhere lets one call after the other fail, once or for a while, and crashes afterwards.
func TestFullDiskAnywhere(t *testing.T) {
	for at := range 60 {
		for _, long := range []int{1, 3, 1000, 1001} {
			d := newDisk(t)
			r := rand.New(rand.NewPCG(uint64(at), 3))
			m := &model{t: t, acked: map[string]string{}}
			calls := 0
			d.fail = func(call string) error {
				if long == 1001 && call == "sync" {
					return nil // a full disk does not keep the system from writing what is there
				}
				calls++
				if calls > at && calls <= at+long {
					return fmt.Errorf("%s: %w", call, syscall.ENOSPC)
				}
				return nil
			}
			path := filepath.Join(d.dir, "persist.json")
			// A life before has left something in the data file and something in the journal.
			for _, kill := range []bool{false, true} {
				f, snap, err := open(path, slog.New(slog.DiscardHandler), fast())
				if err != nil {
					t.Fatal(err)
				}
				m.f, m.s = f, store.New(snap)
				for range 3 {
					if err := m.write(r); err != nil {
						t.Fatal(err)
					}
				}
				if kill {
					_ = f.journal.file.Close()
					_ = f.lock.f.Unlock()
				} else if err := f.Close(m.s.Snapshot()); err != nil {
					t.Fatal(err)
				}
			}
			f, snap, err := open(path, slog.New(slog.DiscardHandler), d.system())
			if err != nil {
				t.Fatalf("failure %d: a full disk keeps memsd from starting: %v", at, err)
			}
			if got := valuesOf(snap); !maps.Equal(got, m.acked) {
				t.Fatalf("failure %d: at the start there are %v, acknowledged were %v", at, got, m.acked)
			}
			m.f, m.s = f, store.New(snap)
			failed := 0
			for range 8 {
				if err := m.write(r); err != nil {
					failed++
					if !errors.Is(err, syscall.ENOSPC) {
						t.Fatalf("failure %d: the reason is not told: %v", at, err)
					}
				}
				f.Note(m.s.Snapshot().Revision(), r.IntN(2) == 0)
				if r.IntN(2) == 0 {
					c := f.Begin(m.s.Snapshot())
					if err := m.write(r); err != nil && !errors.Is(err, syscall.ENOSPC) {
						t.Fatal(err)
					}
					c.Write()
					if err := f.Finish(c); err != nil && !errors.Is(err, syscall.ENOSPC) {
						t.Fatal(err)
					}
				}
			}
			if long >= 1000 && failed < 7 && at < 4 {
				t.Fatalf("failure %d: %d of 8 writes failed on a disk that is full", at, failed)
			}
			d.fail = nil
			switch at % 3 {
			case 0: // there is room again
				if err := m.write(r); err != nil {
					t.Fatalf("failure %d: with room on the disk: %v", at, err)
				}
				fallthrough
			case 1: // or just in time for the end
				if err := f.Close(m.s.Snapshot()); err != nil {
					t.Fatal(err)
				}
			case 2: // killed
				if f.journal != nil {
					_ = f.journal.file.Close()
				}
				_ = f.lock.f.Unlock()
			}
			f, snap, err = open(path, slog.New(slog.DiscardHandler), fast())
			if err != nil {
				t.Fatalf("failure %d for %d calls: %v", at, long, err)
			}
			if got := valuesOf(snap); !maps.Equal(got, m.acked) {
				t.Fatalf("failure %d for %d calls: got %v, acknowledged were %v", at, long, got, m.acked)
			}
			if err := f.Close(snap); err != nil {
				t.Fatal(err)
			}
		}
	}
}
