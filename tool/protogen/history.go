package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// historyFile remembers the ID of every message, so that a rename, which silently makes another
// message on the wire, does not go unnoticed. It is checked in.
const historyFile = "msgid.json"

// checkHistory compares messages with the history in dir and returns the history's new content.
func checkHistory(dir string, messages []message) ([]byte, error) {
	known := map[string]uint16{}
	file := filepath.Join(dir, historyFile)
	raw, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist): // the first run
	case err != nil:
		return nil, err
	default:
		if err := json.Unmarshal(raw, &known); err != nil {
			return nil, fmt.Errorf("%s%s%w; it must be an object of message names and IDs, restore it from version control",
				importPrefix, historyFile, jsonPosition(raw, err))
		}
	}

	now := map[string]uint16{}
	var fresh []string
	var mistakes []error
	for _, m := range messages {
		now[m.Msg] = m.ID
		id, ok := known[m.Msg]
		if !ok {
			fresh = append(fresh, fmt.Sprintf("%s (ID %d)", m.Msg, m.ID))
		} else if id != m.ID {
			mistakes = append(mistakes, fmt.Errorf("%s: the ID of %s was %d and is now %d: clients still use %d. "+
				"Set it back with option (msg_id), or, if no client is out there, delete the line %q from proto/%s",
				m.at, m.Msg, id, m.ID, id, m.Msg, historyFile))
		}
	}
	for name, id := range known {
		if _, ok := now[name]; ok {
			continue
		}
		var renamed string
		if len(fresh) > 0 {
			renamed = fmt.Sprintf(" New since then: %s. If it was renamed, rename it back, or keep its ID with option (msg_id) = %d and delete its line as below.",
				strings.Join(fresh, ", "), id)
		}
		mistakes = append(mistakes, fmt.Errorf("message %s (ID %d) is in proto/%s but no longer in a .proto file.%s "+
			"To retire it, delete the line %q from proto/%s", name, id, historyFile, renamed, name, historyFile))
	}
	if len(mistakes) > 0 {
		slices.SortFunc(mistakes, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
		return nil, errors.Join(mistakes...)
	}
	content, err := json.MarshalIndent(now, "", "  ") // sorted by name
	return append(content, '\n'), err
}

// jsonPosition adds line:column to an error of encoding/json, where it tells an offset.
func jsonPosition(raw []byte, err error) error {
	var offset int64
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.As(err, &kind):
		offset = kind.Offset
	default:
		return fmt.Errorf(": %w", err)
	}
	before := raw[:min(int(offset), len(raw))]
	line := bytes.Count(before, []byte("\n")) + 1
	column := len(before) - bytes.LastIndexByte(before, '\n') - 1
	return fmt.Errorf(":%d:%d: %w", line, max(column, 1), err)
}
