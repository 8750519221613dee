package migration

import (
	"fmt"
	"strings"
)

// Count writes a number with its noun: "1 order", "3 orders", "2 retries". What does not follow
// the rule has its plural given: Count(n, "order is", "orders are").
func Count[T int | int64 | uint64](n T, one string, many ...string) string {
	return fmt.Sprintf("%d %s", n, Noun(n, one, many...))
}

// Noun gives the form of a noun that goes with a number.
func Noun[T int | int64 | uint64](n T, one string, many ...string) string {
	switch {
	case n == 1:
		return one
	case len(many) > 0:
		return many[0]
	case strings.HasSuffix(one, "ay") || strings.HasSuffix(one, "ey"):
		return one + "s"
	case strings.HasSuffix(one, "y"):
		return strings.TrimSuffix(one, "y") + "ies"
	case strings.HasSuffix(one, "s") || strings.HasSuffix(one, "x") || strings.HasSuffix(one, "ch"):
		return one + "es"
	}
	return one + "s"
}
