package ui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

// Number writes an integer with narrow spaces between thousands, such as 4 035.
func Number[T int | int64](n T) string {
	s := strconv.FormatInt(int64(n), 10)
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return sign + s
}

// Count writes a number with its noun, such as 1 order or 4 035 orders.
func Count[T int | int64](n T, one string, many ...string) string {
	return Number(n) + " " + migration.Noun(n, one, many...)
}

// Need is the label of what must hold: a limit is a number, anything else is required.
func Need(limit string) string {
	if strings.ContainsAny(limit, "0123456789") {
		return "Limit"
	}
	return "Required"
}

// Age says how long ago t was. The script of the page keeps it true; both use the same words.
func Age(now, t time.Time) string {
	switch d := now.Sub(t); {
	case d < 0:
		return "in the future"
	case d < 10*time.Second:
		return "just now"
	case d < time.Minute:
		return fmt.Sprintf("%d s ago", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 24*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	default:
		return fmt.Sprintf("%d d ago", int(d.Hours()/24))
	}
}

// Stamp writes a moment for people, to the second.
func Stamp(t time.Time) string { return t.UTC().Format("2 Jan 2006, 15:04:05 UTC") }

// Day writes a date for people.
func Day(t time.Time) string { return t.UTC().Format("Mon 2 Jan 2006") }

// ISO writes a moment for machines.
func ISO(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// Title begins a text with a capital letter.
func Title(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// Pretty indents raw JSON for reading; what is not JSON is shown as it is.
func Pretty(raw json.RawMessage) string {
	var b bytes.Buffer
	if json.Indent(&b, raw, "", "  ") != nil {
		return string(raw)
	}
	return b.String()
}

// Short cuts a hash for reading; the whole is in the title.
func Short(hash string) string {
	if len(hash) > 12 {
		return hash[:12]
	}
	return hash
}
