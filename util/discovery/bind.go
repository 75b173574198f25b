package discovery

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"strings"
	"sync/atomic"
)

// Config is a T that follows the values of a registry. Get may be called from any goroutine.
type Config[T any] struct {
	registry Registry
	key      string
	def      []byte // the defaults, as JSON
	log      *slog.Logger
	current  atomic.Pointer[T]

	// Owned by the one who calls update: Bind, then Run.
	text string // what was last looked at, good or bad; empty: nothing yet
	lost bool   // the values have gone, and that has been logged
}

// Bind returns a Config that is filled from key: its value is the JSON of a T, or of some of its fields; the others are as
// in def. A key that ends with "/" is a prefix instead, and each key below it is a field of T by its JSON name: as text
// if the field is a string, as JSON otherwise.
//
// Only good values get through: those that have no unknown field and that Validate, if *T has the method
// Validate() error, has nothing against. A bad value is logged, with the reason, and the last good one stays. It also
// stays when the values are gone: a registry that has lost its data is no reason to fall back to defaults.
//
// def must be good itself, and survive being written as JSON and read again. Run keeps the Config up to date; without it,
// it is as the registry was when Bind was called. log may be nil.
func Bind[T any](r Registry, key string, def T, log *slog.Logger) (*Config[T], error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	text, err := json.Marshal(def)
	if err != nil {
		return nil, fmt.Errorf("config %s: defaults: %w", key, err)
	}
	c := &Config[T]{registry: r, key: key, def: text, log: log}
	first, err := c.parse([]byte("{}"))
	if err != nil {
		return nil, fmt.Errorf("config %s: defaults: %w", key, err)
	}
	c.current.Store(first)
	c.update(r.Snapshot())
	return c, nil
}

// Get returns the newest good value. It is shared: read only.
func (c *Config[T]) Get() *T { return c.current.Load() }

// Run follows the registry until ctx is done or the registry is closed. changed, if not nil, is called from Run after
// every change of what Get returns.
func (c *Config[T]) Run(ctx context.Context, changed func(*T)) {
	for snap := c.registry.Snapshot(); ; {
		if c.update(snap) && changed != nil {
			changed(c.Get())
		}
		next, err := c.registry.Wait(ctx, snap.Revision())
		if err != nil {
			return // the end that was asked for
		}
		snap = next
	}
}

// update takes what a state says. It returns whether that changed the Config.
func (c *Config[T]) update(s *Snapshot) bool {
	text, found, err := c.read(s)
	switch {
	case err == nil && !found:
		if c.text != "" && !c.lost {
			c.lost = true
			c.log.Warn("config is gone from the registry; the last good value stays", "key", c.key, "revision", s.Revision())
		}
		return false
	case text == c.text && !c.lost:
		return false
	}
	c.text, c.lost = text, false
	var next *T
	if err == nil {
		next, err = c.parse([]byte(text))
	}
	if err != nil {
		c.log.Error("config is bad; the last good value stays", "key", c.key, "revision", s.Revision(), "reason", err)
		return false
	}
	if reflect.DeepEqual(next, c.Get()) {
		return false
	}
	c.current.Store(next)
	c.log.Info("config changed", "key", c.key, "revision", s.Revision(), "value", fmt.Sprintf("%+v", *next))
	return true
}

// read returns the JSON that a state has for c. With an error, text is what was wrong.
func (c *Config[T]) read(s *Snapshot) (text string, found bool, err error) {
	if !strings.HasSuffix(c.key, "/") {
		text, found = s.Value(c.key)
		return text, found, nil
	}
	fields := make(map[string]json.RawMessage)
	var all strings.Builder
	for key, value := range s.Values(c.key) {
		name := key[len(c.key):]
		fmt.Fprintf(&all, "%s=%s\n", name, value)
		raw := json.RawMessage(value)
		if isText[T](name) {
			raw, err = json.Marshal(value)
		} else if !json.Valid(raw) {
			err = errors.Join(err, fmt.Errorf("%s is not JSON: %.40q", key, value))
			continue
		}
		fields[name] = raw
	}
	if err != nil {
		return all.String(), true, err
	}
	b, err := json.Marshal(fields)
	return string(b), len(fields) > 0, err
}

// isText says whether the field of T with this JSON name is a string.
func isText[T any](name string) bool {
	t := reflect.TypeFor[T]()
	if t.Kind() != reflect.Struct {
		return false
	}
	for _, f := range reflect.VisibleFields(t) {
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if tag == "" {
			tag = f.Name
		}
		if tag == name {
			return f.Type.Kind() == reflect.String
		}
	}
	return false
}

// parse reads a T from the defaults and from text over them.
func (c *Config[T]) parse(text []byte) (*T, error) {
	next := new(T)
	if err := json.Unmarshal(c.def, next); err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(next); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more after the end")
	}
	if v, ok := any(next).(interface{ Validate() error }); ok {
		if err := v.Validate(); err != nil {
			return nil, err
		}
	}
	return next, nil
}
