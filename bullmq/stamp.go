package bullmq

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
)

// RewriteStamp sets keys inside one field of a JSON document, for example
// {"movedTo":"target"} inside "_switchyard", and leaves every other byte of the
// document alone: numbers keep their digits, keys their order, strings their
// escapes. A missing field is added at the end of the document, a missing key at
// the end of the field. Where a name occurs twice the last one is changed, which is
// the one JavaScript reads.
//
// It fails when data is not a single JSON object, or when the field exists but is
// not an object.
func RewriteStamp(data []byte, field string, set map[string]any) ([]byte, error) {
	if !json.Valid(data) {
		return nil, errors.New("rewrite stamp: the data is not JSON")
	}
	doc, ok := parseObject(data, skipSpace(data, 0))
	if !ok {
		return nil, errors.New("rewrite stamp: the data is not a JSON object")
	}
	at := doc.last(data, field)
	if at == nil {
		stamp, err := object(set)
		if err != nil {
			return nil, err
		}
		return doc.insert(data, field, stamp)
	}
	inner, ok := parseObject(data, at.value)
	if !ok {
		return nil, fmt.Errorf("rewrite stamp: %q is not an object", field)
	}
	for _, k := range sortedNames(set) {
		value, err := encode(set[k])
		if err != nil {
			return nil, err
		}
		if m := inner.last(data, k); m != nil {
			data = splice(data, m.value, m.end, value)
		} else if data, err = inner.insert(data, k, value); err != nil {
			return nil, err
		}
		// offsets behind the change have shifted; the stamp itself still begins
		// where it did
		inner, _ = parseObject(data, at.value)
	}
	return data, nil
}

// span is where an object is in a valid document.
type span struct {
	open, close int // of the braces
	members     []memberSpan
}

// memberSpan is where one "key": value pair is.
type memberSpan struct{ key, keyEnd, value, end int }

// parseObject reads the object that begins at i of a valid document; false when
// something else begins there.
func parseObject(b []byte, i int) (span, bool) {
	if b[i] != '{' {
		return span{}, false
	}
	o := span{open: i}
	for i = skipSpace(b, i+1); b[i] != '}'; {
		if b[i] == ',' {
			i = skipSpace(b, i+1)
		}
		m := memberSpan{key: i, keyEnd: skipString(b, i)}
		m.value = skipSpace(b, skipSpace(b, m.keyEnd)+1) // after the colon
		m.end = skipValue(b, m.value)
		o.members = append(o.members, m)
		i = skipSpace(b, m.end)
	}
	o.close = i
	return o, true
}

func (o span) last(b []byte, name string) *memberSpan {
	for i := range slices.Backward(o.members) {
		var key string
		if m := o.members[i]; json.Unmarshal(b[m.key:m.keyEnd], &key) == nil && key == name {
			return &o.members[i]
		}
	}
	return nil
}

// insert adds a member at the end of the object.
func (o span) insert(b []byte, name string, value []byte) ([]byte, error) {
	key, err := encode(name)
	if err != nil {
		return nil, err
	}
	text := append(append(key, ':'), value...)
	at := o.open + 1
	if n := len(o.members); n > 0 {
		at = o.members[n-1].end
		text = append([]byte{','}, text...)
	}
	return splice(b, at, at, text), nil
}

func splice(b []byte, from, to int, text []byte) []byte {
	return slices.Concat(b[:from], text, b[to:])
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// skipString returns the index after the string that begins at i.
func skipString(b []byte, i int) int {
	for i++; b[i] != '"'; i++ {
		if b[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// skipValue returns the index after the value that begins at i of a valid document.
func skipValue(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			i = skipString(b, i)
		case '{', '[':
			depth++
			i++
		case '}', ']':
			depth--
			i++
		default:
			if depth == 0 { // a number or a word
				for i < len(b) && !bytes.ContainsRune([]byte(",}] \t\r\n"), rune(b[i])) {
					i++
				}
				return i
			}
			i++
			continue
		}
		if depth == 0 {
			return i
		}
	}
	return i
}

func object(set map[string]any) ([]byte, error) {
	out := []byte{'{'}
	for i, k := range sortedNames(set) {
		key, err := encode(k)
		if err != nil {
			return nil, err
		}
		value, err := encode(set[k])
		if err != nil {
			return nil, err
		}
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(append(out, key...), ':'), value...)
	}
	return append(out, '}'), nil
}

// encode writes a value as JavaScript would: without HTML escapes.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("rewrite stamp: %w", err)
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

func sortedNames(m map[string]any) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}
