package store

import "errors"

// Errors that callers tell apart with errors.Is; what is wrapped around them says which key or service it is about and
// what to do. Package discovery explains each.
var (
	ErrConflict    = errors.New("conflict")
	ErrReplaced    = errors.New("registration was taken")
	ErrInvalid     = errors.New("invalid")
	ErrTooLarge    = errors.New("too large")
	ErrFull        = errors.New("no room")
	ErrNotFound    = errors.New("not found")
	ErrStorage     = errors.New("cannot store")
	ErrRefused     = errors.New("refused")
	ErrUnavailable = errors.New("not reachable")
	ErrInDoubt     = errors.New("no answer")
	ErrClosed      = errors.New("closed")
)
