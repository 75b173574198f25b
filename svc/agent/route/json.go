package route

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// document is the JSON form of a table.
type document struct {
	Rules []Rule `json:"rules"`
}

// Parse reads a table from its JSON form. A text with any mistake is refused as a whole; the error
// says what is wrong, in several lines if there is more than one thing.
func Parse(text []byte) (*Table, error) {
	var doc document
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields() // a misspelt limit would be no limit
	err := dec.Decode(&doc)
	if err == io.EOF {
		return nil, errors.New("route rules: the text is empty")
	}
	if err != nil {
		return nil, fmt.Errorf("route rules: %s%w", lineOf(err, text), err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("route rules: %sthere is more after the end", line(text, dec.InputOffset()))
	}
	if doc.Rules == nil {
		return nil, errors.New(`route rules: "rules" is missing`)
	}
	t, err := New(doc.Rules)
	if err != nil {
		return nil, fmt.Errorf("route rules: %w", err)
	}
	return t, nil
}

// lineOf says in which line of text err is, as far as err knows.
func lineOf(err error, text []byte) string {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return line(text, syntax.Offset)
	case errors.As(err, &kind):
		return line(text, kind.Offset)
	case err == io.ErrUnexpectedEOF:
		return line(text, int64(len(text)))
	}
	return ""
}

func line(text []byte, offset int64) string {
	return fmt.Sprintf("line %d: ", 1+bytes.Count(text[:min(int(offset), len(text))], []byte("\n")))
}

// Marshal gives the JSON form of t: one rule after the other by message name, indented by two
// spaces, no newline at the end. The same rules always give the same text.
func Marshal(t *Table) []byte {
	doc := document{Rules: t.rules}
	if doc.Rules == nil {
		doc.Rules = []Rule{}
	}
	text, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		panic(err) // cannot be: every rule in a table was checked
	}
	return text
}
