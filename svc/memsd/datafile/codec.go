package datafile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"unicode/utf8"

	"github.com/davyxu/cellmesh_demo/util/discovery/store"
)

// version of the format of the data file.
const version = 1

// Encode returns values (sorted by key) as the content of a data file. A value that is a JSON object or array in its
// two-space indented form is written as such, so that people can read and edit it; any other as a JSON string. Either
// way Decode gives back exactly the value.
func Encode(values iter.Seq2[string, string]) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "{\n  \"version\": %d,\n  \"values\": {", version)
	first := true
	for key, value := range values {
		if !first {
			b.WriteByte(',')
		}
		first = false
		b.WriteString("\n    ")
		writeString(&b, key)
		b.WriteString(": ")
		if nested(value) {
			_ = json.Indent(&b, []byte(value), "    ", "  ") // it is valid: nested has looked
		} else {
			writeString(&b, value)
		}
	}
	if !first {
		b.WriteString("\n  ")
	}
	b.WriteString("}\n}\n")
	return b.Bytes()
}

// nested says whether value is a JSON object or array exactly as json.Indent would write it.
func nested(value string) bool {
	if value == "" || value[0] != '{' && value[0] != '[' {
		return false
	}
	if end := value[len(value)-1]; end != '}' && end != ']' {
		return false // json.Indent keeps white space at the end, the file does not
	}
	var b bytes.Buffer
	return json.Indent(&b, []byte(value), "", "  ") == nil && b.String() == value
}

func writeString(b *bytes.Buffer, s string) {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // strings and buffers do not fail
	b.Truncate(b.Len() - 1)
}

// ParseError says where a data file is not what it has to be.
type ParseError struct {
	Line, Column int // from 1; columns count characters
	Reason       string
}

func (e *ParseError) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Reason)
}

// Decode reads the content of a data file. White space alone is a file without values. It fails with a *ParseError.
func Decode(text []byte) (map[string]string, error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff")) // some editors put it there
	d := decoder{text: text, json: json.NewDecoder(bytes.NewReader(text)), values: make(map[string]string)}
	if len(bytes.TrimSpace(text)) == 0 {
		return d.values, nil
	}
	for i, r := 0, rune(0); i < len(text); {
		size := 1
		if r, size = utf8.DecodeRune(text[i:]); r == utf8.RuneError && size == 1 {
			return nil, d.errorAt(int64(i), "this is not UTF-8 text")
		}
		i += size
	}
	var whole json.RawMessage
	var syntax *json.SyntaxError
	if err := json.Unmarshal(text, &whole); errors.As(err, &syntax) {
		at := syntax.Offset // of the byte after the one in error
		if at < int64(len(text)) {
			at--
		}
		return nil, d.errorAt(at, syntax.Error())
	}
	if err := d.file(); err != nil {
		return nil, err
	}
	return d.values, nil
}

// decoder walks through a file that is valid JSON by tokens, for the sake of positions and of keys that are there twice.
type decoder struct {
	text   []byte
	json   *json.Decoder
	values map[string]string
}

func (d *decoder) file() error {
	seen := make(map[string]bool)
	err := d.object("the file", func(key string, at int64) error {
		if seen[key] {
			return d.errorAt(at, fmt.Sprintf("%q is there twice", key))
		}
		seen[key] = true
		switch key {
		case "version":
			var v int
			if at, err := d.value(&v); err != nil {
				return err
			} else if v != version {
				return d.errorAt(at, fmt.Sprintf("version %d; this memsd reads version %d", v, version))
			}
			return nil
		case "values":
			return d.object("values", d.entry)
		default:
			return d.errorAt(at, fmt.Sprintf("unknown %q; expected \"version\" and \"values\"", key))
		}
	})
	if err != nil {
		return err
	}
	if !seen["version"] || !seen["values"] {
		return d.errorAt(0, "\"version\" or \"values\" is missing")
	}
	return nil
}

func (d *decoder) entry(key string, at int64) error {
	if _, ok := d.values[key]; ok {
		return d.errorAt(at, fmt.Sprintf("key %q is there twice", key))
	}
	if err := store.CheckKey(key); err != nil {
		return d.errorAt(at, err.Error())
	}
	var raw json.RawMessage
	at, err := d.value(&raw)
	if err != nil {
		return err
	}
	value := string(raw)
	switch raw[0] {
	case '"':
		if err := json.Unmarshal(raw, &value); err != nil {
			return d.errorAt(at, err.Error())
		}
	case '{', '[':
		var b bytes.Buffer
		if err := json.Indent(&b, raw, "", "  "); err != nil {
			return d.errorAt(at, err.Error())
		}
		value = b.String()
	case 'n':
		return d.errorAt(at, fmt.Sprintf("key %q is null; leave it out, or write a text", key))
	}
	if err := store.CheckValue(key, value); err != nil {
		return d.errorAt(at, err.Error())
	}
	d.values[key] = value
	return nil
}

// object reads an object; member is called after each key and must read its value.
func (d *decoder) object(what string, member func(key string, at int64) error) error {
	at := d.next()
	tok, err := d.json.Token()
	if err != nil {
		return d.errorAt(at, err.Error())
	}
	if tok != json.Delim('{') {
		return d.errorAt(at, what+" must be an object: {...}")
	}
	for d.json.More() {
		at := d.next()
		tok, err := d.json.Token()
		if err != nil {
			return d.errorAt(at, err.Error())
		}
		key, _ := tok.(string) // nothing else is valid here
		if err := member(key, at); err != nil {
			return err
		}
	}
	_, err = d.json.Token() // the closing brace
	return err
}

// value reads one value of any kind, and says where it began.
func (d *decoder) value(to any) (at int64, err error) {
	at = d.next()
	if err := d.json.Decode(to); err != nil {
		return at, d.errorAt(at, err.Error())
	}
	return at, nil
}

// next returns where the next token begins.
func (d *decoder) next() int64 {
	at := d.json.InputOffset()
	for at < int64(len(d.text)) && bytes.IndexByte([]byte(" \t\r\n:,"), d.text[at]) >= 0 {
		at++
	}
	return at
}

func (d *decoder) errorAt(at int64, reason string) error {
	before := d.text[:min(at, int64(len(d.text)))]
	line := bytes.Count(before, []byte{'\n'}) + 1
	column := utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
	return &ParseError{Line: line, Column: column, Reason: reason}
}
