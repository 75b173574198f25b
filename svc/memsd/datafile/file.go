// Package datafile keeps memsd's values on disk.
//
// The data file is JSON that people may read at any time and, while memsd is down, edit. Beside it are hidden files of
// the same name: a journal with the writes that are not yet in the data file (.journal), and the lock of the process
// that uses both (.lock).
//
// A write is acknowledged when it is in the journal and the disk has said so. Some time later the whole state is
// written to a new data file that takes the place of the old one (Compaction), and the journal begins anew. A crash at
// any moment leaves either pair or a mixture that Open can tell: the journal names the data file that it builds on.
//
// Open file.go first; compact.go replaces the data file, journal.go has the records, codec.go the JSON.
package datafile

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/davyxu/cellmesh_demo/util/discovery/store"
	"github.com/davyxu/cellmesh_demo/util/discovery/wire"
)

// reserve is how many revisions are set aside at a time. What goes beyond the reserved ones after a crash has not been
// given to anybody: revisions of services are not stored one by one.
const reserve = 10000

// longNotes is how many bytes of notes make the journal begin anew.
const longNotes = 1 << 20

// File is an open data file with its journal. One goroutine uses it.
type File struct {
	path string
	log  *slog.Logger
	sys  system
	lock *lock

	hadServices bool // services were registered when the last process ended

	journal     *journal // nil only while damaged
	generation  int      // counts journals
	damaged     bool     // the journal may not be appended to; a compaction makes a new one
	dirty       int64    // bytes of values in the journal that are not in the data file
	base        string   // hash of the data file
	valuesAt    uint64   // revision of the newest change in the data file
	lineage     string
	reserved    uint64 // noted in the journal; see reserve
	hasServices bool   // noted in the journal

	mode    os.FileMode // of the data file
	size    int64
	wrote   time.Time
	lastErr error
}

// Open locks and reads the data file at path, and returns its values as a snapshot whose revision is above all that were
// given before. A file that is not there, or is empty, has no values. One that cannot be understood is left as it is,
// and the error says where (ParseError). Open fails with ErrLocked when another process has the file. log is told what a
// person should know.
func Open(path string, log *slog.Logger) (*File, *store.Snapshot, error) {
	return open(path, log, realSystem())
}

func open(path string, log *slog.Logger, sys system) (_ *File, _ *store.Snapshot, err error) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // it is to be replaced, not the link
	}
	l, err := takeLock(beside(path, ".lock"))
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	f := &File{path: path, log: log, sys: sys, lock: l, mode: 0o644}
	defer func() {
		if err != nil {
			if f.journal != nil {
				_ = f.journal.file.Close()
			}
			_ = l.release()
		}
	}()
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("read data file: %w", err)
	}
	if info, err := os.Stat(path); err == nil {
		f.mode = info.Mode().Perm()
	}
	values, err := Decode(text)
	if err != nil {
		return nil, nil, fmt.Errorf("data file %s is left untouched, correct it by hand: %w", path, err)
	}
	f.base, f.size = hashOf(text), int64(len(text))
	snap, err := f.recover(values)
	return f, snap, err
}

// recover brings the journal of the last process and the data file together, and begins to write.
func (f *File) recover(values map[string]string) (*store.Snapshot, error) {
	path, newPath := beside(f.path, ".journal"), beside(f.path, ".journal.new")
	records, size, err := readJournal(path)
	if err != nil {
		return nil, err
	}
	buildsOn := func(records []record) bool { return len(records) > 0 && records[0].Base == f.base }
	if !buildsOn(records) {
		// The last process may have died between replacing the data file and replacing the journal.
		if next, _, err := readJournal(newPath); err == nil && buildsOn(next) {
			records, size = next, 0 // it is replaced below
		}
	}
	revision := uint64(1)
	for _, r := range records {
		revision = max(revision, r.Revision, r.Reserved)
		f.valuesAt = max(f.valuesAt, r.Revision, r.ValuesAt)
		if r.Services != nil {
			f.hadServices = *r.Services
		}
	}
	f.reserved, f.hasServices = revision, f.hadServices
	before := maps.Clone(values)
	if edited := merge(values, records, buildsOn(records)); len(edited) > 0 {
		f.log.Warn("the data file was edited while memsd was down; where it differs from writes that memsd had not yet put there, the edit is taken",
			"file", f.path, "keys", strings.Join(edited, " "))
	}
	if buildsOn(records) {
		f.lineage = records[0].Lineage
	} else { // the values are what a person has made of them
		f.lineage, f.valuesAt = rand.Text(), revision
	}
	snap := store.NewSnapshot(revision, f.valuesAt, maps.All(values), nil)
	for _, left := range []string{f.slowName(), f.nowName()} {
		if err := removeIfThere(left); err != nil {
			return nil, fmt.Errorf("remove what a crash has left: %w", err)
		}
	}
	if maps.Equal(before, values) {
		err = f.restart()
	} else {
		err = f.compactNow(snap)
	}
	if err == nil {
		return snap, nil
	}
	// A disk that is full does not keep memsd from serving what it has.
	f.fail(err)
	if size == 0 {
		f.damaged = true // there is nothing that could be appended to
		return snap, nil
	}
	f.dirty = size // for all that is known, nothing of it is in the data file
	return snap, f.appendTo(path, size)
}

// appendTo opens the journal as it is.
func (f *File) appendTo(path string, end int64) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("open journal: %w", err)
	}
	if f.journal != nil {
		_ = f.journal.file.Close()
	}
	f.journal = &journal{file: file, end: end, sys: f.sys}
	if info, err := file.Stat(); err == nil && info.Size() > end {
		f.damaged = f.journal.cut() != nil
	}
	return nil
}

// HadServices says whether services were registered when the last process that used the file ended. They may be alive.
func (f *File) HadServices() bool { return f.hadServices }

// Lineage names the line of states that the values belong to: as long as it is the same, states with the same revision of
// their newest change are the same. An edit of the file begins a new one.
func (f *File) Lineage() string { return f.lineage }

// SetOwner says who uses the file, for a second process that wants to; up to 200 bytes.
func (f *File) SetOwner(who string) error { return f.lock.say(who) }

// Commit makes events that led from before to a newer state durable. Only their values count. If it fails, the file has
// what it had, and the reason is the disk's.
func (f *File) Commit(before *store.Snapshot, events []store.Event) error {
	if err := f.commit(before, events); err != nil {
		f.fail(err)
		return err
	}
	f.wrote, f.lastErr = time.Now(), nil
	return nil
}

func (f *File) commit(before *store.Snapshot, events []store.Event) error {
	if f.damaged {
		if err := f.compactNow(before); err != nil {
			return err
		}
	}
	records := recordsOf(before, events)
	if last := events[len(events)-1].Revision; last > f.reserved {
		records = append(records, record{Reserved: last + reserve})
	}
	err := f.append(true, records...)
	if err != nil && !f.damaged && int64(before.Bytes()) < f.journal.end {
		// The disk may be full of what the journal still remembers and nobody needs.
		if f.compactNow(before) == nil {
			err = f.append(true, records...)
		}
	}
	return err
}

// append adds records to the journal.
func (f *File) append(durable bool, records ...record) error {
	var lines []byte
	var err error
	for _, r := range records {
		if lines, err = appendRecord(lines, r); err != nil {
			return err
		}
	}
	damaged, err := f.journal.append(lines, durable)
	f.damaged = f.damaged || damaged
	if err != nil {
		return err
	}
	values := false
	for _, r := range records {
		f.reserved = max(f.reserved, r.Reserved)
		values = values || r.Revision != 0
	}
	if values {
		f.dirty += int64(len(lines))
	}
	return nil
}

// Note tells the file what it is to remember of the services: the revision they have come to, and whether there are
// any. It touches the disk only once in a while, and a disk that fails does not matter much.
func (f *File) Note(revision uint64, services bool) {
	var records []record
	if revision > f.reserved {
		records = append(records, record{Reserved: revision + reserve})
	}
	if services != f.hasServices {
		f.hasServices = services
		records = append(records, record{Services: &services})
	}
	if len(records) == 0 || f.damaged {
		return
	}
	if f.dirty == 0 && f.journal.end > longNotes { // nothing but notes
		if err := f.restart(); err != nil {
			f.fail(err)
			return
		}
	}
	if err := f.append(revision > f.reserved, records...); err != nil {
		f.fail(err)
	}
}

// fail notes an error and logs it, unless it is the one before.
func (f *File) fail(err error) {
	if f.lastErr == nil || f.lastErr.Error() != err.Error() {
		f.log.Error("values cannot be stored; reading goes on, writing fails until this is solved", "file", f.path, "reason", err)
	}
	f.lastErr = err
}

// Status fills in what there is to say about the file.
func (f *File) Status(st *wire.Status) {
	st.File, st.FileSize, st.Journal, st.LastWrite = f.path, f.size, f.dirty, f.wrote
	if abs, err := filepath.Abs(f.path); err == nil {
		st.File = abs
	}
	if f.lastErr != nil {
		st.LastError = f.lastErr.Error()
	}
}

// Close puts snap, the newest state, into the data file and lets go of it.
func (f *File) Close(snap *store.Snapshot) error {
	var err error
	f.reserved = snap.Revision() // it ends in order: no revision needs to be skipped
	if f.dirty > 0 || f.damaged {
		err = f.compactNow(snap)
	} else {
		err = f.restart()
	}
	if f.journal != nil {
		err = errors.Join(err, f.journal.file.Close())
	}
	if err != nil {
		err = fmt.Errorf("close data file %s: %w", f.path, err)
	}
	return errors.Join(err, f.lock.release())
}
