package datafile

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/davyxu/cellmesh_demo/util/discovery/store"
)

// record is one line of the journal. The first is the header; the others have one of the other fields.
type record struct {
	Journal  int      `json:"journal,omitempty"`  // header: version of the format
	Base     string   `json:"base,omitempty"`     // header: hash of the data file that the rest of the journal builds on
	Lineage  string   `json:"lineage,omitempty"`  // header: see File.Lineage
	ValuesAt uint64   `json:"valuesAt,omitempty"` // header: the revision of the newest change that is in the data file
	Revision uint64   `json:"revision,omitempty"` // of the changes
	Changes  []change `json:"changes,omitempty"`
	Reserved uint64   `json:"reserved,omitempty"` // after a restart revisions go on from here
	Services *bool    `json:"services,omitempty"` // whether services are registered, from now on
}

// change is what a record says about one key.
type change struct {
	Key   string  `json:"k"`
	Value *string `json:"v,omitempty"` // nil: deleted
	Was   string  `json:"w,omitempty"` // fingerprint of the value before; empty: there was none
}

const journalVersion = 1

// castagnoli is the polynomial that CPUs have an instruction for.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// appendRecord appends r to b as a line: checksum in hex, a space, JSON.
func appendRecord(b []byte, r record) ([]byte, error) {
	start := len(b)
	buf := bytes.NewBuffer(append(b, "00000000 "...))
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil { // ends with a newline, and has no other
		return b, fmt.Errorf("encode journal record: %w", err)
	}
	b = buf.Bytes()
	var sum [4]byte
	binary.BigEndian.PutUint32(sum[:], crc32.Checksum(b[start+9:], castagnoli()))
	hex.Encode(b[start:], sum[:])
	return b, nil
}

// parseLine reads one line, newline included.
func parseLine(line []byte) (r record, err error) {
	if len(line) < 10 || line[8] != ' ' || line[len(line)-1] != '\n' {
		return r, errors.New("incomplete")
	}
	var sum [4]byte
	if _, err := hex.Decode(sum[:], line[:8]); err != nil {
		return r, errors.New("no checksum")
	}
	text := line[9:]
	if got := crc32.Checksum(text, castagnoli()); got != uint32(sum[0])<<24|uint32(sum[1])<<16|uint32(sum[2])<<8|uint32(sum[3]) {
		return r, errors.New("wrong checksum")
	}
	return r, json.Unmarshal(text, &r)
}

// readJournal returns the records of the journal at path and how many bytes they take. What a crash left unfinished at
// the end was never acknowledged and is left out; damage with sound records behind it is an error. No journal: no
// records.
func readJournal(path string) (records []record, size int64, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read journal: %w", err)
	}
	records, size, err = parseJournal(text)
	if err != nil {
		return nil, 0, fmt.Errorf("journal %s is left untouched; restore it, or remove it to go on without the writes since the data file was last written: %w", path, err)
	}
	return records, size, nil
}

func parseJournal(text []byte) (records []record, size int64, err error) {
	text = bytes.TrimRight(text, "\x00") // room for what was never written
	number, damaged := 0, 0
	var why error
	for rest := text; len(rest) > 0; {
		line := rest
		if i := bytes.IndexByte(rest, '\n'); i >= 0 {
			line = rest[:i+1]
		}
		rest = rest[len(line):]
		number++
		r, err := parseLine(line)
		switch {
		case err != nil && damaged == 0:
			damaged, why = number, err
		case err == nil && damaged != 0:
			return nil, 0, &ParseError{Line: damaged, Column: 1, Reason: "damaged record: " + why.Error()}
		case err == nil:
			if (number == 1) != (r.Journal != 0) || r.Journal > journalVersion {
				return nil, 0, &ParseError{Line: number, Column: 1, Reason: fmt.Sprintf("not a header of version %d, or a second one", journalVersion)}
			}
			records = append(records, r)
			size += int64(len(line))
		}
	}
	if damaged == 1 {
		return nil, 0, &ParseError{Line: 1, Column: 1, Reason: "damaged header: " + why.Error()} // it was written as a whole
	}
	return records, size, nil
}

// fingerprint tells values apart.
func fingerprint(value string) string {
	sum := sha256.Sum256([]byte(value))
	return hex.EncodeToString(sum[:8])
}

func hashOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// merge brings what the journal knows into values, which the data file has. normal: the journal builds on this very
// file. Otherwise a person has edited the file since, while memsd was down: then for keys whose value in the file is none
// that the journal has gone on from, the file is right. Such keys are returned if the journal says otherwise.
func merge(values map[string]string, records []record, normal bool) (edited []string) {
	type fate struct {
		was   []string // what the journal has gone on from
		value *string  // what it ends with
	}
	fates := make(map[string]fate)
	for _, r := range records {
		for _, c := range r.Changes {
			f := fates[c.Key]
			if !normal {
				f.was = append(f.was, c.Was)
			}
			f.value = c.Value
			fates[c.Key] = f
		}
	}
	for key, f := range fates {
		now, there := values[key]
		is := ""
		if there {
			is = fingerprint(now)
		}
		switch {
		case !normal && !slices.Contains(f.was, is):
			if there != (f.value != nil) || there && now != *f.value {
				edited = append(edited, key)
			}
		case f.value == nil:
			delete(values, key)
		default:
			values[key] = *f.value
		}
	}
	slices.Sort(edited)
	return edited
}

// journal is the open journal file. Everything before end is durable. Behind it there may be room: zeros, which are
// written some at a time, so that an append changes neither the size of the file nor where it lies on the disk. To make
// that durable takes about half as long.
type journal struct {
	file *os.File
	end  int64
	room int64 // where the zeros end
	sys  system
}

// moreRoom is how many zeros are written at a time.
const moreRoom = 256 << 10

// makeRoom sees to it that n bytes find zeros to be written over. Without them appending works, too, and on a disk that
// is full there is better use for the bytes.
func (j *journal) makeRoom(n int) {
	if j.end+int64(n) <= j.room || n > moreRoom {
		return
	}
	at := max(j.end, j.room)
	if _, err := j.file.Seek(at, io.SeekStart); err == nil {
		_, err = j.sys.write(j.file, make([]byte, moreRoom))
		if err == nil {
			j.room = at + moreRoom
		} else if err := j.file.Truncate(at); err != nil {
			return // zeros harm nobody
		}
	}
}

// append makes lines durable. If that fails, the journal has what it had before, or (when not even that is certain)
// damaged is true: then nothing may be appended any more.
func (j *journal) append(lines []byte, durable bool) (damaged bool, err error) {
	j.makeRoom(len(lines))
	if _, err = j.file.Seek(j.end, io.SeekStart); err == nil {
		_, err = j.sys.write(j.file, lines)
	}
	if err == nil && durable {
		if err = j.sys.dataSync(j.file); err != nil {
			// What the kernel could not write it may have forgotten: even a later success would say nothing.
			damaged = true
		}
	}
	if err == nil {
		j.end += int64(len(lines))
		return false, nil
	}
	if cutErr := j.cut(); cutErr != nil {
		return true, errors.Join(err, cutErr)
	}
	return damaged, err
}

// cut removes what was written after end.
func (j *journal) cut() error {
	j.room = 0
	if err := j.file.Truncate(j.end); err != nil {
		return fmt.Errorf("undo: %w", err)
	}
	if err := j.sys.sync(j.file); err != nil { // or a crash could bring back what was reported as failed
		return fmt.Errorf("undo: %w", err)
	}
	return nil
}

// tail returns what was written after the offset from.
func (j *journal) tail(from int64) ([]byte, error) {
	b := make([]byte, j.end-from)
	_, err := j.file.ReadAt(b, from)
	return b, err
}

// records turns events into journal records; before is the state that they began with.
func recordsOf(before *store.Snapshot, events []store.Event) []record {
	records := make([]record, 0, len(events))
	for _, ev := range events {
		r := record{Revision: ev.Revision}
		for _, c := range ev.Changes {
			if c.Service != nil {
				continue
			}
			out := change{Key: c.Key}
			if !c.Deleted {
				out.Value = &c.Value
			}
			if was, ok := before.Value(c.Key); ok {
				out.Was = fingerprint(was)
			}
			r.Changes = append(r.Changes, out)
		}
		records = append(records, r)
	}
	return records
}
