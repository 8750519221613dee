package migration

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Figure is a number with how it is known: measured, only bounded, or projected. The zero
// value was not observed. Only what was measured counts as a measurement.
//
// In JSON it is the number itself where it was measured, null where it was not observed, and
// else an object that says which: {"at_least": 4200}, or {"projected": 366, "base": "26 min"}.
type Figure struct {
	known knowledge
	n     int64
	base  string
}

type knowledge int

const (
	notObserved knowledge = iota
	measured
	atLeast
	projected
)

// Measured is a figure that was measured.
func Measured(n int64) Figure { return Figure{known: measured, n: n} }

// AtLeast is one that was not seen to end: it is n or more.
func AtLeast(n int64) Figure { return Figure{known: atLeast, n: n} }

// Projected is one that was worked out from less, such as a month from minutes; base says from what.
func Projected(n int64, base string) Figure { return Figure{known: projected, n: n, base: base} }

// Value gives the number; false unless it was measured.
func (f Figure) Value() (int64, bool) { return f.n, f.known == measured }

// Worst gives the greatest of several, which is observed only where each was measured, or at
// least bounded: then it is that or more.
func Worst(figures ...Figure) Figure {
	if len(figures) == 0 {
		return Figure{}
	}
	worst := figures[0]
	for _, f := range figures {
		if f.known != measured && f.known != atLeast {
			return Figure{}
		}
		if f.known == atLeast {
			worst.known = atLeast
		}
		worst.n = max(worst.n, f.n)
	}
	return worst
}

// IsZero reports whether it was not observed.
func (f Figure) IsZero() bool { return f.known == notObserved }

// Within reports whether it was measured and is at most limit.
func (f Figure) Within(limit int64) bool { return f.known == measured && f.n <= limit }

// Beyond reports whether it is known to be more than limit: measured, or bounded from below.
// What is neither within nor beyond a limit is not known.
func (f Figure) Beyond(limit int64) bool {
	return f.known == measured && f.n > limit || f.known == atLeast && f.n >= limit
}

// Text says it for people; unit writes the number.
func (f Figure) Text(unit func(int64) string) string {
	switch f.known {
	case measured:
		return unit(f.n)
	case atLeast:
		return "at least " + unit(f.n)
	case projected:
		return fmt.Sprintf("projected %s (from %s)", unit(f.n), f.base)
	case notObserved:
	}
	return "not observed"
}

// bounded is the form in JSON of what was not measured.
type bounded struct {
	AtLeast   *int64 `json:"at_least,omitempty"`
	Projected *int64 `json:"projected,omitempty"`
	Base      string `json:"base,omitempty"`
}

// MarshalJSON implements json.Marshaler.
func (f Figure) MarshalJSON() ([]byte, error) {
	switch f.known {
	case measured:
		return json.Marshal(f.n)
	case atLeast:
		return json.Marshal(bounded{AtLeast: &f.n})
	case projected:
		return json.Marshal(bounded{Projected: &f.n, Base: f.base})
	case notObserved:
	}
	return []byte("null"), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (f *Figure) UnmarshalJSON(raw []byte) error {
	*f = Figure{}
	if bytes.Equal(raw, []byte("null")) {
		return nil
	}
	var n int64
	if err := json.Unmarshal(raw, &n); err == nil {
		*f = Measured(n)
		return nil
	}
	var b bounded
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&b); err != nil {
		return fmt.Errorf("%s is no figure: %w", raw, err)
	}
	switch {
	case b.AtLeast != nil && b.Projected == nil && b.Base == "":
		*f = AtLeast(*b.AtLeast)
	case b.Projected != nil && b.AtLeast == nil && b.Base != "":
		*f = Projected(*b.Projected, b.Base)
	default:
		return fmt.Errorf("%s is no figure: at_least, or projected with its base", raw)
	}
	return nil
}
