package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// maxTail is how much of a log file's end is looked at, in bytes.
const maxTail = 64 << 10

// logFile is the file that a child logs to. What it writes to its standard
// output and error, as a panic, goes to the end of the same file.
type logFile struct {
	path string
	from int64 // what is before is of earlier runs
}

// openLog makes the file, or marks in it that a new run begins.
func openLog(path string) (*logFile, error) {
	l := &logFile{path: path}
	_, err := fmt.Fprintf(l, "--- %s: a new run\n", time.Now().Format(time.RFC3339))
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	l.from = info.Size()
	return l, nil
}

// Write appends to the file. It is opened each time: its owner, the child,
// renames it when it has become large.
func (l *logFile) Write(b []byte) (int, error) {
	f, err := os.OpenFile(l.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return 0, err
	}
	n, err := f.Write(b)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return n, err
}

// shown is the path for people: relative, if it is below where they are.
func (l *logFile) shown() string {
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, l.path); err == nil && filepath.IsLocal(rel) {
			return rel
		}
	}
	return l.path
}

// tail returns the last n lines that were written in this run, indented.
func (l *logFile) tail(n int) string {
	f, err := os.Open(l.path)
	if err != nil {
		return "    " + err.Error()
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return "    " + err.Error()
	}
	from := l.from
	if from > size { // a new file was begun
		from = 0
	}
	b, err := io.ReadAll(io.NewSectionReader(f, max(from, size-maxTail), maxTail))
	if err != nil {
		return "    " + err.Error()
	}
	text := strings.TrimRight(string(bytes.ToValidUTF8(b, []byte("?"))), "\n")
	if text == "" {
		return "    (nothing was logged)"
	}
	lines := strings.Split(text, "\n")
	lines = lines[max(0, len(lines)-n):]
	return "    " + strings.Join(lines, "\n    ")
}
