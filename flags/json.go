package flags

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// A request's JSON, read in place: every poll of every worker comes through here, and
// encoding/json takes several times as long to check it and to decode it. What is
// accepted and what comes out is the same as there (FuzzJSON).

// maxNesting is encoding/json's limit.
const maxNesting = 10_000

// skipValue returns the index after the value that starts at b[i], or -1 when no valid
// one does.
func skipValue(b []byte, i, depth int) int {
	if i >= len(b) {
		return -1
	}
	switch c := b[i]; c {
	case '"':
		return skipString(b, i)
	case '{':
		return skipObject(b, i, depth, nil)
	case '[':
		return skipArray(b, i, depth)
	case 't':
		return skipWord(b, i, "true")
	case 'f':
		return skipWord(b, i, "false")
	case 'n':
		return skipWord(b, i, "null")
	}
	return skipNumber(b, i)
}

// skipObject is skipValue for what starts with a brace. member, when there is one, is
// told of each member: where its quoted name and its value begin and end.
func skipObject(b []byte, i, depth int, member func(name, nameEnd, value, valueEnd int)) int {
	if depth >= maxNesting {
		return -1
	}
	if i = skipSpace(b, i+1); i < len(b) && b[i] == '}' {
		return i + 1
	}
	for i < len(b) && b[i] == '"' {
		name, end := i, skipString(b, i)
		if end < 0 {
			return -1
		}
		if i = skipSpace(b, end); i >= len(b) || b[i] != ':' {
			return -1
		}
		value := skipSpace(b, i+1)
		if i = skipValue(b, value, depth+1); i < 0 {
			return -1
		}
		if member != nil {
			member(name, end, value, i)
		}
		if i = skipSpace(b, i); i >= len(b) {
			return -1
		}
		if b[i] == '}' {
			return i + 1
		}
		if b[i] != ',' {
			return -1
		}
		i = skipSpace(b, i+1)
	}
	return -1
}

func skipArray(b []byte, i, depth int) int {
	if depth >= maxNesting {
		return -1
	}
	if i = skipSpace(b, i+1); i < len(b) && b[i] == ']' {
		return i + 1
	}
	for {
		if i = skipValue(b, i, depth+1); i < 0 {
			return -1
		}
		if i = skipSpace(b, i); i >= len(b) {
			return -1
		}
		if b[i] == ']' {
			return i + 1
		}
		if b[i] != ',' {
			return -1
		}
		i = skipSpace(b, i+1)
	}
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

func skipWord(b []byte, i int, word string) int {
	if end := i + len(word); end <= len(b) && string(b[i:end]) == word {
		return end
	}
	return -1
}

func skipString(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return i + 1
		case c < ' ':
			return -1
		case c == '\\':
			if i++; i >= len(b) {
				return -1
			}
			switch b[i] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				for range 4 {
					if i++; i >= len(b) || !isHex(b[i]) {
						return -1
					}
				}
			default:
				return -1
			}
		}
	}
	return -1
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func skipNumber(b []byte, i int) int {
	digits := func() bool {
		start := i
		for i < len(b) && '0' <= b[i] && b[i] <= '9' {
			i++
		}
		return i > start
	}
	if i < len(b) && b[i] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i++
	} else if !digits() {
		return -1
	}
	if i < len(b) && b[i] == '.' {
		if i++; !digits() {
			return -1
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if !digits() {
			return -1
		}
	}
	return i
}

// objectAt decodes the object that starts at b[i], in what is known to be valid, and
// gives the index after it. Of members with one name the last counts. The first error
// is told.
func objectAt(b []byte, i int) (out map[string]any, next int, err error) {
	out = map[string]any{}
	for i = skipSpace(b, i+1); b[i] != '}'; i = skipSeparator(b, i) {
		end := skipString(b, i)
		name := stringOf(b[i:end])
		v, after, wrong := valueAt(b, skipSpace(b, skipSpace(b, end)+1)) // past the colon
		if out[name], i = v, after; err == nil {
			err = wrong
		}
	}
	return out, i + 1, err
}

func arrayAt(b []byte, i int) (out []any, next int, err error) {
	out = []any{}
	for i = skipSpace(b, i+1); b[i] != ']'; i = skipSeparator(b, i) {
		v, after, wrong := valueAt(b, i)
		if out, i = append(out, v), after; err == nil {
			err = wrong
		}
	}
	return out, i + 1, err
}

// skipSeparator goes from the end of a member to the next one, or to what ends the list.
func skipSeparator(b []byte, i int) int {
	if i = skipSpace(b, i); b[i] == ',' {
		return skipSpace(b, i+1)
	}
	return i
}

func valueAt(b []byte, i int) (v any, next int, err error) {
	switch b[i] {
	case '"':
		next = skipString(b, i)
		return stringOf(b[i:next]), next, nil
	case '{':
		return objectAt(b, i)
	case '[':
		return arrayAt(b, i)
	case 't':
		return true, i + len("true"), nil
	case 'f':
		return false, i + len("false"), nil
	case 'n':
		return nil, i + len("null"), nil
	}
	next = skipNumber(b, i)
	n, err := strconv.ParseFloat(string(b[i:next]), 64)
	if err != nil {
		return nil, next, fmt.Errorf("the number %.40s does not fit into 64 bits", b[i:next])
	}
	return n, next, nil
}

// stringOf decodes a quoted string. Escapes and what is not ASCII, which may not be
// UTF-8 either, are for the library.
func stringOf(b []byte) string {
	text := b[1 : len(b)-1]
	for _, c := range text {
		if c == '\\' || c >= 0x80 {
			var s string
			_ = json.Unmarshal(b, &s) // it is valid
			return s
		}
	}
	return string(text)
}
