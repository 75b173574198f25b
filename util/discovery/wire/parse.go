package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/davyxu/cellmesh_demo/util/discovery/store"
)

// ErrBadMessage is the reason to close a connection whose peer does not speak the protocol.
var ErrBadMessage = errors.New("bad message")

// AppendDone appends the answer to a request that has nothing to say but that it is done, and the revision from which on
// that can be seen. There are so many of them that they are worth a shortcut on both sides.
func AppendDone(b []byte, id, revision uint64) []byte {
	b = strconv.AppendUint(append(b, `{"id":`...), id, 10)
	b = strconv.AppendUint(append(b, `,"revision":`...), revision, 10)
	return append(b, '}')
}

// parseDone reads what AppendDone has written, and nothing else.
func parseDone(b []byte) (r Reply, ok bool) {
	b, ok = bytes.CutPrefix(b, []byte(`{"id":`))
	if ok {
		r.ID, b, ok = parseUint(b)
	}
	if ok {
		b, ok = bytes.CutPrefix(b, []byte(`,"revision":`))
	}
	if ok {
		r.Revision, b, ok = parseUint(b)
	}
	return r, ok && string(b) == "}"
}

// parseUint reads a number that surely fits: one of 19 digits.
func parseUint(b []byte) (n uint64, rest []byte, ok bool) {
	i := 0
	for ; i < len(b) && i < 19 && b[i] >= '0' && b[i] <= '9'; i++ {
		n = 10*n + uint64(b[i]-'0')
	}
	return n, b[i:], i > 0 && (b[0] != '0' || i == 1)
}

// Append appends m, a Request or Reply, to b as JSON.
func Append(b []byte, m any) ([]byte, error) {
	buf := bytes.NewBuffer(b)
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(m); err != nil {
		return b, fmt.Errorf("encode message: %w", err)
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte{'\n'}), nil
}

// ParseRequest reads a request and checks that what it does comes with what that needs. It fails with ErrBadMessage.
// Sizes and contents of batches and services are for the store to judge.
func ParseRequest(b []byte) (Request, error) {
	var r Request
	if err := parse(b, &r); err != nil {
		return Request{}, err
	}
	missing := ""
	switch r.Do {
	case DoHello:
		if r.Hello == nil {
			missing = "hello"
		}
	case DoProof:
		if len(r.Proof) == 0 {
			missing = "proof"
		}
	case DoRegister:
		if r.Owner == "" || r.Service == nil {
			missing = "owner and service"
		}
	case DoLeave:
		if r.Owner == "" {
			missing = "owner"
		}
	case DoPing, DoApply, DoPage, DoWatch, DoForget, DoStatus, DoBye:
	default:
		return Request{}, fmt.Errorf("%w: unknown request %.40q", ErrBadMessage, r.Do)
	}
	switch {
	case missing != "":
		return Request{}, fmt.Errorf("%w: request %s lacks %s", ErrBadMessage, r.Do, missing)
	case r.ID == 0:
		return Request{}, fmt.Errorf("%w: request %s has no ID", ErrBadMessage, r.Do)
	case len(r.Owner) > 64:
		return Request{}, fmt.Errorf("%w: owner of %d bytes", ErrBadMessage, len(r.Owner))
	case r.Page < 0:
		return Request{}, fmt.Errorf("%w: page %d", ErrBadMessage, r.Page)
	case r.Hello != nil && len(r.Hello.Name) > MaxClientName:
		return Request{}, fmt.Errorf("%w: client name of %d bytes", ErrBadMessage, len(r.Hello.Name))
	}
	return r, nil
}

// ParseReply reads a reply. It fails with ErrBadMessage. Events and the services of pages are checked when they are made
// into those of a store.
func ParseReply(b []byte) (Reply, error) {
	if r, ok := parseDone(b); ok {
		return r, nil
	}
	var r Reply
	if err := parse(b, &r); err != nil {
		return Reply{}, err
	}
	if s := r.Service; s != nil {
		if err := s.Check(); err != nil {
			return Reply{}, fmt.Errorf("%w: %w", ErrBadMessage, err)
		}
		if s.Index < 0 || s.ID != store.FormatID(s.Name, s.Index, s.Group) {
			return Reply{}, fmt.Errorf("%w: service %q is not %s#%d@%s", ErrBadMessage, s.ID, s.Name, s.Index, s.Group)
		}
	}
	return r, nil
}

func parse(b []byte, m any) error {
	// encoding/json would quietly replace what is not UTF-8.
	if !utf8.Valid(b) {
		return fmt.Errorf("%w: not UTF-8", ErrBadMessage)
	}
	if err := json.Unmarshal(b, m); err != nil {
		return fmt.Errorf("%w: %w", ErrBadMessage, err)
	}
	return nil
}

// Error is why memsd did not do what was asked.
type Error struct {
	Code string `json:"code"`
	Text string `json:"text"`
}

// codes are what both sides know of an error besides its text.
func codes() map[string]error {
	return map[string]error{
		"conflict": store.ErrConflict, "replaced": store.ErrReplaced, "invalid": store.ErrInvalid,
		"too_large": store.ErrTooLarge, "full": store.ErrFull, "not_found": store.ErrNotFound,
		"storage": store.ErrStorage, "refused": store.ErrRefused,
	}
}

// NewError makes err ready for the wire.
func NewError(err error) *Error {
	for code, sentinel := range codes() {
		if errors.Is(err, sentinel) {
			return &Error{Code: code, Text: err.Error()}
		}
	}
	return &Error{Code: "internal", Text: err.Error()}
}

// Err returns e as the error it was made from: same text, and errors.Is works. nil for nil.
func (e *Error) Err() error {
	if e == nil {
		return nil
	}
	return remoteError{text: e.Text, is: codes()[e.Code]}
}

type remoteError struct {
	text string
	is   error // may be nil
}

func (e remoteError) Error() string { return e.text }
func (e remoteError) Unwrap() error { return e.is }
