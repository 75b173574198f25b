// Package sanction is what operators do against players: mutes and bans by uid,
// with an end and a reason. They are values in memsd, so that every service has
// them at hand and follows at once: sanction/ban/alice is
//
//	{"until":"2026-12-24T18:00:00Z","why":"cheating"}
//
// and without until it is for good. (In a key a uid is written as in a URL's
// path.) login and agent see to bans, social to mutes.
//
// Open this file first: a sanction, and how it is written. watch.go follows them
// in a service, change.go is for the operator's tool, tool/moderate.
package sanction

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"
)

// Kind is what a player may not do.
type Kind string

// The kinds of sanctions.
const (
	Mute Kind = "mute" // say anything to others
	Ban  Kind = "ban"  // be here
)

// Prefix is what all keys of sanctions begin with.
const Prefix = "sanction/"

// MaxWhy is the longest reason in bytes.
const MaxWhy = 1000

// Sanction is one sanction.
type Sanction struct {
	Kind  Kind
	UID   string
	Until time.Time // the zero time: for good
	Why   string    // for the player; may be empty
}

// Over reports whether the sanction has ended.
func (s Sanction) Over(now time.Time) bool { return !s.Until.IsZero() && !now.Before(s.Until) }

// Reason is what the player is told: what, until when, why.
func (s Sanction) Reason() string {
	text := map[Kind]string{Mute: "you are muted", Ban: "you are banned"}[s.Kind]
	if !s.Until.IsZero() {
		text += " until " + s.Until.UTC().Format("2006-01-02 15:04:05 UTC")
	}
	if s.Why != "" {
		text += ": " + s.Why
	}
	return text
}

// Key is where the sanction is kept.
func (s Sanction) Key() string { return Prefix + string(s.Kind) + "/" + url.PathEscape(s.UID) }

// text is a sanction as it is written.
type text struct {
	Until *time.Time `json:"until,omitempty"`
	Why   string     `json:"why,omitempty"`
}

// Check says what is wrong with a sanction, nil if nothing is.
func (s Sanction) Check() error {
	switch {
	case s.Kind != Mute && s.Kind != Ban:
		return fmt.Errorf("%q is not %s or %s", s.Kind, Mute, Ban)
	case s.UID == "":
		return errors.New("the uid is empty")
	case len(s.Why) > MaxWhy:
		return fmt.Errorf("the reason has %d bytes, at most %d are allowed", len(s.Why), MaxWhy)
	}
	return nil
}

// Value is the sanction as it is written.
func (s Sanction) Value() (string, error) {
	t := text{Why: s.Why}
	if !s.Until.IsZero() {
		until := s.Until.UTC().Truncate(time.Second)
		t.Until = &until
	}
	b, err := json.Marshal(t)
	return string(b), err
}

// Parse reads a sanction. The error says what is wrong with the key, or with the
// value: then the kind and the uid are good.
func Parse(key, value string) (Sanction, error) {
	rest, ok := strings.CutPrefix(key, Prefix)
	kind, escaped, named := strings.Cut(rest, "/")
	if !ok || !named {
		return Sanction{}, fmt.Errorf("want a key like %s%s/UID", Prefix, Ban)
	}
	uid, err := url.PathUnescape(escaped)
	if err != nil {
		return Sanction{}, fmt.Errorf("uid: %w", err)
	}
	s := Sanction{Kind: Kind(kind), UID: uid}
	if err := s.Check(); err != nil {
		return Sanction{}, err
	}
	if s.Key() != key {
		return Sanction{}, fmt.Errorf("the key of %q is %s", uid, s.Key())
	}
	var t text
	dec := json.NewDecoder(bytes.NewReader([]byte(value)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&t); err != nil {
		return s, fmt.Errorf(`%w: want {"until":"2026-12-24T18:00:00Z","why":"..."}`, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return s, errors.New("there is more after the end")
	}
	s.Why = t.Why
	if t.Until != nil {
		s.Until = t.Until.UTC()
	}
	return s, s.Check()
}
