package store

import "errors"

// Errors that callers tell apart with errors.Is; what is wrapped around them says which key or service and what to do.
var (
	ErrConflict = errors.New("conflict")               // a condition of a batch does not hold; nothing of the batch was done
	ErrReplaced = errors.New("registration was taken") // another owner has registered the same service ID
	ErrInvalid  = errors.New("invalid")                // the request can never succeed as it is
	ErrTooLarge = errors.New("too large")              // a limit of this package is exceeded
	ErrNotFound = errors.New("not found")              // no such registration of this owner
	ErrFull     = errors.New("no room")                // the store as a whole is at its limit
)
