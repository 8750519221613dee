package migration

import (
	"errors"
	"fmt"
	"strconv"
)

// Kind classes an error by what the caller can do about it. The server maps kinds to HTTP
// statuses in one place.
type Kind string

const (
	// Invalid: the request itself is wrong (400).
	Invalid Kind = "invalid"
	// NotFound: no such thing (404).
	NotFound Kind = "not_found"
	// Conflict: somebody else got there first, or the state moved on (409).
	Conflict Kind = "conflict"
	// Blocked: preconditions are unmet; Blockers lists them (412).
	Blocked Kind = "blocked"
	// Forbidden: known who, but not allowed (403).
	Forbidden Kind = "forbidden"
	// Unauthenticated: not known who (401).
	Unauthenticated Kind = "unauthenticated"
	// Unavailable: a server we depend on did not answer (503).
	Unavailable Kind = "unavailable"
	// Internal: ours; its text never leaves the server (500).
	Internal Kind = "internal"
)

// Error is an error with a kind. Text is for people: what is missing, the measured value,
// the limit, the next action.
type Error struct {
	Kind     Kind
	Text     string
	Blockers []Gate // with Blocked
	cause    error
}

// Error implements error.
func (e *Error) Error() string { return e.Text }

// Unwrap gives the cause, if any.
func (e *Error) Unwrap() error { return e.cause }

// Errorf makes an Error of a kind; %w wraps a cause. What the text quotes of errors that only a
// program understands is put into words: the cause still has it.
func Errorf(k Kind, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	text := err.Error()
	if k != Internal {
		text = Plain(text)
	}
	return &Error{Kind: k, Text: text, cause: errors.Unwrap(err)}
}

// Because makes an Error of a kind with a cause that its text does not quote.
func Because(k Kind, cause error, text string) error {
	return &Error{Kind: k, Text: text, cause: cause}
}

// KindOf gives the kind of an error; anything that is not an Error is Internal.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Internal
}

func itoa(n int) string { return strconv.Itoa(n) }

// NotProvisioned begins the error of whatever needs the target before there is one. That is
// where every migration starts, and no fault.
const NotProvisioned = "the managed Redis is not provisioned yet"
