package datafile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/davyxu/cellmesh_demo/util/discovery/store"
)

// Compaction is a new data file in the making.
type Compaction struct {
	snap       *store.Snapshot
	generation int   // of the journal when it was begun
	from       int64 // offset in that journal of what the new file will not have
	path       string
	mode       os.FileMode
	sys        system

	size int64
	hash string
	err  error
}

// Dirty returns how many bytes of the journal are not yet in the data file.
func (f *File) Dirty() int64 { return f.dirty }

// Names of new data files in the making: by Begin and by compactNow, which may come between.
func (f *File) slowName() string { return beside(f.path, ".new") }
func (f *File) nowName() string  { return beside(f.path, ".now") }

// Begin prepares to put snap, the newest state, into a new data file. The caller runs Write, in any goroutine, while
// Commit goes on; then it calls Finish. One at a time.
func (f *File) Begin(snap *store.Snapshot) *Compaction { return f.begin(snap, f.slowName()) }

func (f *File) begin(snap *store.Snapshot, path string) *Compaction {
	c := &Compaction{snap: snap, generation: f.generation, path: path, mode: f.mode, sys: f.sys}
	if f.journal != nil {
		c.from = f.journal.end
	}
	return c
}

// Write writes the new data file under another name. That is the slow part.
func (c *Compaction) Write() {
	text := Encode(c.snap.Values(""))
	c.size, c.hash = int64(len(text)), hashOf(text)
	c.err = c.sys.create(c.path, text, c.mode)
}

// Finish puts the new data file in the place of the old one, and begins a new journal. If it fails, all goes on with what
// there was, and nothing is lost.
func (f *File) Finish(c *Compaction) error {
	if c.err == nil && (f.damaged || c.generation != f.generation) {
		return removeIfThere(c.path) // what was written since Begin is not to be had from the journal: the next Commit does it all
	}
	return f.finishOrFail(c)
}

func (f *File) finishOrFail(c *Compaction) error {
	if err := f.finish(c); err != nil {
		err = fmt.Errorf("compact the journal into %s: %w", f.path, err)
		f.fail(err)
		return err
	}
	return nil
}

func (f *File) finish(c *Compaction) error {
	if c.err != nil {
		return c.err
	}
	var tail []byte
	if f.journal != nil && !f.damaged {
		var err error
		if tail, err = f.journal.tail(c.from); err != nil {
			return errors.Join(err, removeIfThere(c.path))
		}
	}
	// The new journal is ready before the data file is replaced. Whatever happens then: if the data file is the new one,
	// the new journal is there, under one name or the other.
	if err := f.createJournal(c.hash, c.snap.ValuesRevision(), tail); err != nil {
		return errors.Join(err, removeIfThere(c.path))
	}
	if err := f.sys.rename(c.path, f.path); err != nil {
		return errors.Join(err, removeIfThere(c.path))
	}
	f.base, f.size, f.valuesAt = c.hash, c.size, c.snap.ValuesRevision()
	f.damaged = true // until all is done: the journal in use builds on the old data file
	if err := f.sys.syncDir(filepath.Dir(f.path)); err != nil {
		return err
	}
	return f.useJournal(int64(len(tail)))
}

// compactNow does a whole compaction; snap has all that was committed.
func (f *File) compactNow(snap *store.Snapshot) error {
	c := f.begin(snap, f.nowName())
	c.Write()
	return f.finishOrFail(c)
}

// restart begins a new and empty journal on the data file as it is.
func (f *File) restart() error {
	if err := f.createJournal(f.base, f.valuesAt, nil); err != nil {
		return err
	}
	return f.useJournal(0)
}

func (f *File) createJournal(base string, valuesAt uint64, tail []byte) error {
	text, err := appendRecord(nil, record{
		Journal: journalVersion, Base: base, Lineage: f.lineage, ValuesAt: valuesAt, Reserved: f.reserved, Services: &f.hasServices,
	})
	if err != nil {
		return err
	}
	return f.sys.create(beside(f.path, ".journal.new"), append(text, tail...), 0o644)
}

// useJournal puts the new journal in the place of the old one.
func (f *File) useJournal(tail int64) error {
	f.damaged = true
	path := beside(f.path, ".journal")
	if f.journal != nil {
		_ = f.journal.file.Close() // Windows does not replace an open file
		f.journal = nil
	}
	if err := f.sys.rename(beside(f.path, ".journal.new"), path); err != nil {
		return err
	}
	if err := f.sys.syncDir(filepath.Dir(f.path)); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if err := f.appendTo(path, info.Size()); err != nil {
		return err
	}
	f.damaged, f.dirty = false, tail
	f.generation++
	return nil
}
