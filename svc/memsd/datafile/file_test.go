package datafile

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/davyxu/cellmesh_demo/util/discovery/store"
)

// opened is a data file with a store on it.
type opened struct {
	t   *testing.T
	f   *File
	s   *store.Store
	log *bytes.Buffer
}

func openAt(t *testing.T, path string) *opened {
	t.Helper()
	log := new(bytes.Buffer)
	f, snap, err := open(path, slog.New(slog.NewTextHandler(log, nil)), fast())
	if err != nil {
		t.Fatal(err)
	}
	return &opened{t: t, f: f, s: store.New(snap), log: log}
}

func (o *opened) apply(ops ...store.Op) {
	o.t.Helper()
	before := o.s.Snapshot()
	ev, err := o.s.Apply(ops)
	if err == nil && len(ev.Changes) > 0 {
		err = o.f.Commit(before, []store.Event{ev})
	}
	if err != nil {
		o.t.Fatal(err)
	}
}

func (o *opened) close() {
	o.t.Helper()
	if err := o.f.Close(o.s.Snapshot()); err != nil {
		o.t.Fatal(err)
	}
}

// kill lets go of the file as the system does when a process dies.
func (o *opened) kill() {
	_ = o.f.journal.file.Close()
	_ = o.f.lock.f.Unlock()
}

func (o *opened) want(values map[string]string) {
	o.t.Helper()
	if got := valuesOf(o.s.Snapshot()); !maps.Equal(got, values) {
		o.t.Fatalf("got %q, want %q", got, values)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestOpenLeavesTheFileAlone(t *testing.T) {
	path := filepath.Join(memoryDir(t), "persist.json")
	const odd = "{ \"values\":{\"b\":\"2\",\n\n\"a\":[1 ,2]}, \"version\":1}" // as a person may write it
	write(t, path, odd)
	for range 3 {
		o := openAt(t, path)
		o.want(map[string]string{"a": "[\n  1,\n  2\n]", "b": "2"})
		o.apply(store.SetOp("b", "2")) // no change
		o.close()
		if got := read(t, path); got != odd {
			t.Fatalf("the file was rewritten though nothing changed:\n%s", got)
		}
	}
	o := openAt(t, path)
	o.apply(store.SetOp("c", "3"))
	o.close()
	want := "{\n  \"version\": 1,\n  \"values\": {\n    \"a\": [\n      1,\n      2\n    ],\n    \"b\": \"2\",\n    \"c\": \"3\"\n  }\n}\n"
	if got := read(t, path); got != want {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o640 {
		t.Errorf("the file's mode is %v, %v now", info.Mode(), err)
	}
	entries, _ := os.ReadDir(filepath.Dir(path))
	for _, e := range entries {
		switch e.Name() {
		case "persist.json", ".persist.json.journal", ".persist.json.lock":
		default:
			t.Errorf("%s was left behind", e.Name())
		}
	}
}

func TestBrokenFileIsRefusedAndLeftAlone(t *testing.T) {
	path := filepath.Join(memoryDir(t), "persist.json")
	const broken = "{\n  \"version\": 1,\n  \"values\": {\n    \"a\": \"1\"\n    \"b\": \"2\"\n  }\n}\n"
	write(t, path, broken)
	_, _, err := Open(path, slog.New(slog.DiscardHandler))
	var parse *ParseError
	if !errors.As(err, &parse) || parse.Line != 5 || parse.Column != 5 || !strings.Contains(err.Error(), path) {
		t.Fatalf("%v; want it to name the file, line 5 and column 5", err)
	}
	if got := read(t, path); got != broken {
		t.Fatalf("the file was changed to %q", got)
	}
	write(t, path, strings.Replace(broken, "\"1\"", "\"1\",", 1)) // a refused Open holds no lock
	o := openAt(t, path)
	o.want(map[string]string{"a": "1", "b": "2"})
	o.close()
}

func TestSecondIsToldWhoHasIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "persist.json")
	o := openAt(t, path)
	if err := o.f.SetOwner("the memsd at 127.0.0.1:8900, process 7"); err != nil {
		t.Fatal(err)
	}
	_, _, err := Open(path, slog.New(slog.DiscardHandler))
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "the memsd at 127.0.0.1:8900, process 7") {
		t.Fatalf("%v; want ErrLocked with the owner", err)
	}
	o.close()
	openAt(t, path).close()
}

// TestEditAfterCrash: a person has edited the data file while memsd was down, after it had died with writes that were
// only in the journal.
func TestEditAfterCrash(t *testing.T) {
	path := filepath.Join(memoryDir(t), "persist.json")
	o := openAt(t, path)
	o.apply(store.SetOp("both", "0"), store.SetOp("journal", "0"), store.SetOp("gone", "0"), store.SetOp("back", "0"))
	o.close()
	o = openAt(t, path)
	o.apply(store.SetOp("journal", "1"), store.SetOp("both", "1"))
	o.apply(store.SetOp("both", "2"), store.SetOp("new", "1"), store.DeleteOp("gone"), store.DeleteOp("back"))
	o.kill()
	if got := read(t, path); strings.Contains(got, "new") {
		t.Fatalf("the data file is ahead of the test:\n%s", got)
	}
	write(t, path, `{"version":1,"values":{"both":"edited","journal":"0","gone":"0","back":"edited","added":"x"}}`)
	o = openAt(t, path)
	o.want(map[string]string{"both": "edited", "journal": "1", "new": "1", "back": "edited", "added": "x"})
	if log := o.log.String(); !strings.Contains(log, `keys="back both"`) {
		t.Errorf("the log does not say that edits were taken: %s", log)
	}
	o.kill()
	o = openAt(t, path)
	o.want(map[string]string{"both": "edited", "journal": "1", "new": "1", "back": "edited", "added": "x"})
	o.close()

	if err := os.Remove(path); err != nil { // that is an edit, too
		t.Fatal(err)
	}
	o = openAt(t, path)
	o.want(map[string]string{})
	if o.log.Len() > 0 {
		t.Errorf("logged: %s", o.log)
	}
	o.close()
}

func TestRevisionsGoOn(t *testing.T) {
	path := filepath.Join(memoryDir(t), "persist.json")
	o := openAt(t, path)
	o.apply(store.SetOp("a", "1"))
	o.close()
	last := o.s.Snapshot().Revision()
	o = openAt(t, path)
	if got := o.s.Snapshot().Revision(); got != last {
		t.Errorf("after an orderly end revisions go on from %d, want %d", got, last)
	}
	for range 3 { // services are not in the file, but their revisions must not be given again
		for range 5 {
			_, _, err := o.s.Register(fmt.Sprint(o.s.Snapshot().Revision()), store.Service{Name: "game", Group: "dev", State: store.Ready, Index: -1})
			if err != nil {
				t.Fatal(err)
			}
			o.f.Note(o.s.Snapshot().Revision(), true)
		}
		last = o.s.Snapshot().Revision()
		o.kill()
		o = openAt(t, path)
		if got := o.s.Snapshot().Revision(); got < last {
			t.Errorf("after a crash revisions go on from %d, %d was given", got, last)
		}
		if !o.f.HadServices() {
			t.Error("it is forgotten that there were services")
		}
	}
	o.f.Note(o.s.Snapshot().Revision(), false)
	o.close()
	o = openAt(t, path)
	if o.f.HadServices() {
		t.Error("services are remembered that had left")
	}
	o.close()
}

func TestJournalDamage(t *testing.T) {
	path := filepath.Join(memoryDir(t), "persist.json")
	o := openAt(t, path)
	for _, v := range []string{"1", "2", "3"} {
		o.apply(store.SetOp("k", v))
	}
	o.kill()
	journal := beside(path, ".journal")
	padded := read(t, journal)
	whole := strings.TrimRight(padded, "\x00")
	if len(whole) == len(padded) {
		t.Error("the journal has no room for more")
	}
	lines := strings.SplitAfter(whole, "\n")

	t.Run("Middle", func(t *testing.T) {
		write(t, journal, strings.Replace(whole, `"v":"2"`, `"v":"9"`, 1))
		damaged := read(t, journal)
		_, _, err := Open(path, slog.New(slog.DiscardHandler))
		var parse *ParseError
		if !errors.As(err, &parse) || !strings.HasPrefix(lines[parse.Line-1][9:], `{"revision":3`) || !strings.Contains(err.Error(), journal) {
			t.Fatalf("%v; want it to name the journal and the line of revision 3", err)
		}
		if read(t, journal) != damaged {
			t.Fatal("the journal was changed")
		}
	})
	t.Run("Header", func(t *testing.T) {
		for _, text := range []string{"x" + whole, strings.Join(lines[1:], ""), lines[0][:20], lines[0] + lines[0]} {
			write(t, journal, text)
			if _, _, err := Open(path, slog.New(slog.DiscardHandler)); err == nil {
				t.Errorf("journal %.60q is read", text)
			}
		}
	})
	t.Run("End", func(t *testing.T) {
		for _, room := range []string{"", padded[len(whole):]} {
			if err := removeIfThere(path); err != nil { // it was not there yet when the journal began
				t.Fatal(err)
			}
			write(t, journal, whole[:len(whole)-5]+room)
			o := openAt(t, path)
			o.want(map[string]string{"k": "2"})
			o.close()
		}
	})
}

func FuzzParseJournal(f *testing.F) {
	v := "v"
	var text []byte
	for _, r := range []record{{Journal: 1, Base: "x", Reserved: 7}, {Revision: 8, Changes: []change{{Key: "k", Value: &v}, {Key: "d", Was: "w"}}}} {
		text, _ = appendRecord(text, r)
	}
	f.Add(text)
	f.Add(text[:len(text)-3])
	f.Fuzz(func(t *testing.T, text []byte) {
		records, size, err := parseJournal(text)
		if err != nil {
			return
		}
		again, _, err := parseJournal(text[:size])
		if err != nil || len(again) != len(records) {
			t.Fatalf("%d records, of which the sound part has %d, %v", len(records), len(again), err)
		}
		merge(map[string]string{}, records, false)
	})
}
