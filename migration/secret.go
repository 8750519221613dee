package migration

import (
	"fmt"
	"log/slog"
)

// Secret is a credential: a password, an API key, or a URL that carries one. Printing,
// logging or encoding it gives "redacted", so a secret that strays into a log line, an
// error, a page or a JSON answer does not leak. Reveal is the single, greppable way out.
// fmt calls no methods on unexported struct fields, so do not print a struct that hides
// one.
//
// It reads from text (YAML, JSON, environment) like a string; it never writes itself back.
type Secret string

const redacted = "redacted"

// Reveal returns the credential itself, for the one place that hands it to the service it
// belongs to.
func (s Secret) Reveal() string { return string(s) }

// IsZero reports whether no credential was given.
func (s Secret) IsZero() bool { return s == "" }

// String implements fmt.Stringer.
func (s Secret) String() string { return redacted }

// GoString implements fmt.GoStringer, for %#v.
func (s Secret) GoString() string { return redacted }

// Format implements fmt.Formatter, so that no verb (%s, %q, %x, %d ...) prints the value.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements encoding.TextMarshaler.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON implements json.Marshaler.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalYAML implements the YAML marshaler interface.
func (s Secret) MarshalYAML() (any, error) { return redacted, nil }
